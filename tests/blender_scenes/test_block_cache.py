"""The cache of Blender's blocks is bounded, and no block in use is removed."""

from __future__ import annotations

from dataclasses import dataclass

from blender_scenes.block_cache import BlockCache


@dataclass
class Block:
    users: int = 0


def test_the_block_used_longest_ago_goes_first() -> None:
    gone: list[Block] = []
    kept: BlockCache[Block] = BlockCache(2, gone.append)
    one, two = kept.get("one", Block), kept.get("two", Block)
    assert kept.get("one", Block) is one
    kept.get("three", Block)
    assert gone == [two] and len(kept) == 2
    assert kept.get("one", Block) is one
    assert kept.get("two", Block) is not two


def test_a_block_that_is_shown_stays_beyond_the_bound() -> None:
    gone: list[Block] = []
    kept: BlockCache[Block] = BlockCache(2, gone.append)
    shown = [kept.get(name, lambda: Block(users=1)) for name in range(4)]
    assert not gone and len(kept) == 4
    for block in shown:
        block.users = 0
    kept.get("new", Block)
    assert len(kept) == 2 and len(gone) == 3


def test_a_heavy_block_takes_the_room_of_many() -> None:
    gone: list[Block] = []
    kept: BlockCache[Block] = BlockCache(10, gone.append)
    for name in range(10):
        kept.get(name, Block)
    kept.get("heavy", Block, 8)
    assert len(kept) == 3 and len(gone) == 8
