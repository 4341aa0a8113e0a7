"""The tree against the reference values of Certificate Transparency and against the RFC's own definition."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from firewall.audit import merkle

# certificate-transparency, cpp/merkletree/merkle_tree_test.cc: leaf data, then the root of the first n leaves
LEAVES = [
    bytes.fromhex(data)
    for data in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
HASHES = [merkle.leaf_hash(leaf) for leaf in LEAVES]
INCLUSION = {
    (0, 1): [],
    (0, 8): [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
    (5, 8): [
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
}
CONSISTENCY = {
    (1, 1): [],
    (1, 8): [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
    (6, 8): [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
    (2, 5): [
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ],
}

SIZES = st.integers(0, 70)


def _leaves(size: int) -> list[bytes]:
    return [merkle.leaf_hash(b"%d" % i) for i in range(size)]


def _naive(leaves: list[bytes]) -> bytes:
    """MTH word by word as in RFC 6962, section 2.1."""
    if not leaves:
        return hashlib.sha256().digest()
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return hashlib.sha256(b"\x01" + _naive(leaves[:k]) + _naive(leaves[k:])).digest()


def test_the_empty_tree() -> None:
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert merkle.Frontier().root().hex() == merkle.EMPTY_ROOT.hex() == empty


@pytest.mark.parametrize("size", range(1, 9))
def test_reference_roots(size: int) -> None:
    assert merkle.root(HASHES[:size]).hex() == ROOTS[size - 1]


@pytest.mark.parametrize(("place", "path"), INCLUSION.items())
def test_reference_inclusion_proofs(place: tuple[int, int], path: list[str]) -> None:
    index, size = place
    proof = merkle.inclusion_proof(HASHES[:size], index, size)
    assert [node.hex() for node in proof] == path
    assert merkle.verify_inclusion(HASHES[index], index, size, proof, bytes.fromhex(ROOTS[size - 1]))


@pytest.mark.parametrize(("sizes", "path"), CONSISTENCY.items())
def test_reference_consistency_proofs(sizes: tuple[int, int], path: list[str]) -> None:
    old, new = sizes
    proof = merkle.consistency_proof(HASHES[:new], old, new)
    assert [node.hex() for node in proof] == path
    roots = bytes.fromhex(ROOTS[old - 1]), bytes.fromhex(ROOTS[new - 1])
    assert merkle.verify_consistency(old, new, *roots, proof)


@given(SIZES)
def test_a_frontier_is_the_tree(size: int) -> None:
    frontier = merkle.Frontier().extend(_leaves(size))
    assert frontier.size == size
    assert frontier.root() == _naive(_leaves(size))
    assert merkle.Frontier.from_bytes(frontier.to_bytes()) == frontier


@given(st.binary(max_size=200))
def test_other_bytes_are_no_frontier(data: bytes) -> None:
    try:
        frontier = merkle.Frontier.from_bytes(data)
    except ValueError:
        return
    assert frontier.to_bytes() == data


@given(SIZES, st.data())
def test_inclusion_is_proven_for_this_leaf_in_this_place_only(size: int, data: st.DataObject) -> None:
    assume(size)
    index = data.draw(st.integers(0, size - 1))
    leaves = _leaves(size)
    proof = merkle.inclusion_proof(leaves, index, size)
    root = _naive(leaves)
    assert merkle.verify_inclusion(leaves[index], index, size, proof, root)
    for other in range(-1, size + 2):
        assert merkle.verify_inclusion(leaves[index], other, size, proof, root) is (other == index)
    assert not merkle.verify_inclusion(merkle.leaf_hash(b"other"), index, size, proof, root)
    assert not merkle.verify_inclusion(leaves[index], index, size, proof, merkle.leaf_hash(b"root"))
    assert not merkle.verify_inclusion(leaves[index], index, size, (*proof, root), root)
    for cut in range(len(proof)):
        assert not merkle.verify_inclusion(leaves[index], index, size, proof[:cut], root)
        forged = (*proof[:cut], merkle.node_hash(proof[cut], proof[cut]), *proof[cut + 1 :])
        assert not merkle.verify_inclusion(leaves[index], index, size, forged, root)


@given(SIZES, st.data())
def test_consistency_is_proven_for_these_two_trees_only(new: int, data: st.DataObject) -> None:
    old = data.draw(st.integers(0, new))
    leaves = _leaves(new)
    proof = merkle.consistency_proof(leaves, old, new)
    roots = _naive(leaves[:old]), _naive(leaves)
    assert merkle.verify_consistency(old, new, *roots, proof)
    assert not merkle.verify_consistency(old, new, *roots, (*proof, roots[0]))
    other = merkle.leaf_hash(b"other")
    assert not merkle.verify_consistency(old, new, other, roots[1], proof)
    if old:
        assert not merkle.verify_consistency(old, new, roots[0], other, proof)
    for cut in range(len(proof)):
        assert not merkle.verify_consistency(old, new, *roots, proof[:cut])
        forged = (*proof[:cut], other, *proof[cut + 1 :])
        assert not merkle.verify_consistency(old, new, *roots, forged)


def test_a_proof_needs_every_leaf_hash_and_a_place_in_the_log() -> None:
    with pytest.raises(ValueError, match="leaf hashes 4 to 7 are missing"):
        merkle.inclusion_proof(HASHES[:4], 0, 8)
    with pytest.raises(ValueError, match="no record 8"):
        merkle.inclusion_proof(HASHES, 8, 8)
    with pytest.raises(ValueError, match="cannot extend"):
        merkle.consistency_proof(HASHES, 9, 8)
