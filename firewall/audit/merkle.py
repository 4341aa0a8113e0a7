"""The Merkle tree of RFC 6962, section 2.1: what makes a log provable.

The writer keeps only a `Frontier`, a few hashes however long the log is. Proofs are made in one pass over the
leaf hashes and checked by the procedures of RFC 9162 (section 2.1), which describe the same tree.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

HASH_BYTES = 32
# MTH({}) of RFC 6962, section 2.1
EMPTY_ROOT = hashlib.sha256(b"").digest()
_SIZE_BYTES = 8


def leaf_hash(data: bytes) -> bytes:
    """SHA-256(0x00 || data), RFC 6962 section 2.1: a leaf can never pass for a node."""
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """SHA-256(0x01 || left || right), RFC 6962 section 2.1."""
    return hashlib.sha256(b"\x01" + left + right).digest()


@dataclass(frozen=True, slots=True)
class Frontier:
    """A tree of `size` leaves, kept as the roots of its complete subtrees, the largest (leftmost) first.

    There is one hash for every set bit of `size`.
    """

    size: int = 0
    hashes: tuple[bytes, ...] = ()

    def append(self, leaf: bytes) -> Frontier:
        """The tree with one more leaf hash at its end."""
        hashes = list(self.hashes)
        carry = self.size
        while carry & 1:
            leaf = node_hash(hashes.pop(), leaf)
            carry >>= 1
        return Frontier(self.size + 1, (*hashes, leaf))

    def extend(self, leaves: Iterable[bytes]) -> Frontier:
        """`append` for each leaf hash in turn."""
        frontier = self
        for leaf in leaves:
            frontier = frontier.append(leaf)
        return frontier

    def root(self) -> bytes:
        """MTH of the whole tree."""
        if not self.hashes:
            return EMPTY_ROOT
        *rest, root = self.hashes
        for left in reversed(rest):
            root = node_hash(left, root)
        return root

    def to_bytes(self) -> bytes:
        """Size as 8 bytes, most significant first, then the hashes."""
        return self.size.to_bytes(_SIZE_BYTES, "big") + b"".join(self.hashes)

    @classmethod
    def from_bytes(cls, data: bytes) -> Frontier:
        """Undo `to_bytes`; ValueError for anything that it never makes."""
        size = int.from_bytes(data[:_SIZE_BYTES], "big")
        body = data[_SIZE_BYTES:]
        if len(data) < _SIZE_BYTES or len(body) != size.bit_count() * HASH_BYTES:
            raise ValueError("not a frontier: one hash is needed for every set bit of the size")
        return cls(size, tuple(body[i : i + HASH_BYTES] for i in range(0, len(body), HASH_BYTES)))


def root(leaves: Iterable[bytes]) -> bytes:
    """MTH of a list of leaf hashes."""
    return Frontier().extend(leaves).root()


def inclusion_proof(leaves: Iterable[bytes], index: int, size: int) -> tuple[bytes, ...]:
    """PATH(index, D[size]) of RFC 6962, section 2.1.1; `leaves` are the first `size` leaf hashes."""
    if not 0 <= index < size:
        raise ValueError(f"there is no record {index} in a log of {size}")
    return _subtrees(leaves, _path(index, 0, size))


def consistency_proof(leaves: Iterable[bytes], old: int, new: int) -> tuple[bytes, ...]:
    """PROOF(old, D[new]) of RFC 6962, section 2.1.2; `leaves` are the first `new` leaf hashes, in order.

    Empty for old == 0, which the RFC leaves open (every tree extends the empty one), and for old == new.
    """
    if not 0 <= old <= new:
        raise ValueError(f"a log of {new} cannot extend one of {old}")
    return _subtrees(leaves, _subproof(old, 0, new, whole=True) if old else [])


def verify_inclusion(
    leaf: bytes, index: int, size: int, proof: Sequence[bytes], expected_root: bytes
) -> bool:
    """Is `leaf` the leaf hash at `index` of the tree of `size` with that root? RFC 9162, section 2.1.3.2."""
    # 1. an index beyond the tree proves nothing
    if not 0 <= index < size:
        return False
    # 2. walk upwards: fn is the node's place in its level, sn that of the level's last node
    fn, sn, hashed = index, size - 1, leaf
    for sibling in proof:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            hashed = node_hash(sibling, hashed)
            # a last node without a sibling moves up unchanged until it is a right child
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            hashed = node_hash(hashed, sibling)
        fn, sn = fn >> 1, sn >> 1
    # 3. the walk ended at the root, and it is the one expected
    return sn == 0 and hashed == expected_root


def verify_consistency(old: int, new: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]) -> bool:
    """Is the tree of `old` leaves a prefix of the tree of `new`? RFC 9162, section 2.1.4.2."""
    # 1. the cases that need no hashes
    if not 0 <= old <= new or (old in {0, new} and proof):
        return False
    if old == 0:
        return old_root == EMPTY_ROOT and (new > 0 or new_root == EMPTY_ROOT)
    if old == new:
        return old_root == new_root
    # 2. an old tree that is complete is itself the first node of the proof
    path = (old_root, *proof) if old & (old - 1) == 0 else tuple(proof)
    if not path:
        return False
    # 3. skip the levels at which the old tree ends in a right child
    fn, sn = old - 1, new - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    # 4. rebuild both roots from the shared nodes
    first = second = path[0]
    for sibling in path[1:]:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            first, second = node_hash(sibling, first), node_hash(sibling, second)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            second = node_hash(second, sibling)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and first == old_root and second == new_root


def _split(size: int) -> int:
    """The largest power of two below `size`: k of RFC 6962, section 2.1."""
    return 1 << (size - 1).bit_length() - 1


def _path(index: int, start: int, end: int) -> list[range]:
    """The subtrees whose hashes make an inclusion proof, nearest to the leaf first."""
    if end - start == 1:
        return []
    middle = start + _split(end - start)
    if index < middle:
        return [*_path(index, start, middle), range(middle, end)]
    return [*_path(index, middle, end), range(start, middle)]


def _subproof(old: int, start: int, end: int, *, whole: bool) -> list[range]:
    """SUBPROOF of RFC 6962, section 2.1.2, as ranges; `whole` while the old root itself is the node."""
    if old == end:
        return [] if whole else [range(start, end)]
    middle = start + _split(end - start)
    if old <= middle:
        return [*_subproof(old, start, middle, whole=whole), range(middle, end)]
    return [*_subproof(old, middle, end, whole=False), range(start, middle)]


def _subtrees(leaves: Iterable[bytes], wanted: Sequence[range]) -> tuple[bytes, ...]:
    """The root of each range of leaves, in the order wanted, from one pass over the leaves."""
    found: dict[range, bytes] = {}
    numbered = enumerate(leaves)
    for part in sorted(wanted, key=lambda r: r.start):
        found[part] = root(_cut(numbered, part))
    return tuple(found[part] for part in wanted)


def _cut(numbered: Iterator[tuple[int, bytes]], part: range) -> Iterator[bytes]:
    taken = 0
    for index, leaf in numbered:
        if index >= part.start:
            taken += 1
            yield leaf
        if index + 1 == part.stop:
            break
    if taken != len(part):
        raise ValueError(f"leaf hashes {part.start + taken} to {part.stop - 1} are missing")
