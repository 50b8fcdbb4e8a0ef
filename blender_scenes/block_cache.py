"""A bounded cache of Blender meshes or materials, which a worker keeps for later scenes; the least recently used go first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar

Block = TypeVar("Block")


class BlockCache(Generic[Block]):
    """Blender data-blocks by key, up to a total weight of `most`. A block that is still in use stays, even beyond that bound."""

    def __init__(self, most: int, remove: Callable[[Block], None]) -> None:
        self._most, self._remove = most, remove
        self._blocks: OrderedDict[Hashable, tuple[Block, int]] = OrderedDict()
        self._weight = 0

    def __len__(self) -> int:
        return len(self._blocks)

    def get(self, key: Hashable, make: Callable[[], Block], weight: int = 1) -> Block:
        """The block of that key, made if there is none."""
        if key in self._blocks:
            self._blocks.move_to_end(key)
            return self._blocks[key][0]
        made = make()
        self._make_room(weight)
        self._blocks[key] = made, weight
        self._weight += weight
        return made

    def forget(self) -> None:
        """Forget all blocks, which are gone already."""
        self._blocks.clear()
        self._weight = 0

    def _make_room(self, weight: int) -> None:
        for key in list(self._blocks):
            if self._weight + weight <= self._most:
                return
            found, freed = self._blocks[key]
            block: Any = found
            if block.users == 0:
                del self._blocks[key]
                self._weight -= freed
                self._remove(block)
