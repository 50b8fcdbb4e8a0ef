"""What a worker keeps for the scenes to come, up to a bound: meshes and materials by name, those used longest ago go first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar

Block = TypeVar("Block")


class Kept(Generic[Block]):
    """At most `most` of Blender's data-blocks by key. One that something still shows stays, even beyond the bound."""

    def __init__(self, most: int, remove: Callable[[Block], None]) -> None:
        self._most, self._remove = most, remove
        self._blocks: OrderedDict[Hashable, Block] = OrderedDict()

    def __len__(self) -> int:
        return len(self._blocks)

    def get(self, key: Hashable, make: Callable[[], Block]) -> Block:
        """The block of that key, made if there is none."""
        if key in self._blocks:
            self._blocks.move_to_end(key)
            return self._blocks[key]
        made = make()
        self._make_room()
        self._blocks[key] = made
        return made

    def _make_room(self) -> None:
        for key in list(self._blocks):
            if len(self._blocks) < self._most:
                return
            block: Any = self._blocks[key]
            if block.users == 0:
                del self._blocks[key]
                self._remove(block)
