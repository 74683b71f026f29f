"""Which pictures belong together: copies, near copies, and what the user says belongs together."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

HASH_BITS = 64
Positions = NDArray[np.int64]


class Clusters(NamedTuple):
    """Rows that belong together, for the rows of a manifest.

    Attributes:
        copy_of: (N,) row of the picture that stands for a row's copies; -1 where there is no copy.
        group_of: (N,) row that stands for all that may not straddle splits; its own row where it is alone.
        group_name: the user's name of a group, by the row that stands for it.
    """

    copy_of: Positions
    group_of: Positions
    group_name: dict[int, str]


def near_links(hashes: NDArray[np.uint64], max_distance: int) -> Positions:
    """(P, 2) links that join all hashes at most `max_distance` bits apart.

    Distinct hashes are linked pair by pair, equal ones in a chain. The bits are cut into one band more than may
    differ, so that each near pair agrees in a whole band (pigeonhole); only hashes that share a band are compared.
    """
    distinct, first, codes = np.unique(hashes, return_index=True, return_inverse=True)
    found = [_equal_codes(codes)]
    edges = np.linspace(0, HASH_BITS, max_distance + 2).astype(np.uint64)
    for low, high in pairwise(edges):
        band = (distinct >> low) & np.uint64(2 ** int(high - low) - 1)
        order = np.argsort(band, kind="stable")
        found.append(first[_within_runs(distinct, order, band[order], max_distance)])
    return np.concatenate(found)


def cluster_rows(
    image_keys: NDArray[np.uint64], hashes: NDArray[np.uint64], has_hash: NDArray[np.bool_], max_distance: int
) -> Positions:
    """(N,) cluster of each row: rows joined by equal keys, or by hashes at most `max_distance` bits apart.

    Args:
        image_keys: equal for equal bytes; rows with key 0 were not read and stay alone.
        hashes: perceptual hashes.
        has_hash: which of them mean something.
        max_distance: -1 joins equal bytes only.
    """
    edges = [_equal_keys(image_keys)]
    if max_distance >= 0:
        rows = np.flatnonzero(has_hash)
        edges.append(rows[near_links(hashes[rows], max_distance)])
    return _components(len(image_keys), np.concatenate(edges))


def cluster_manifest(batches: Iterator[pa.RecordBatch], max_distance: int) -> Clusters:
    """Clusters of the rows of a manifest, read a batch at a time.

    Args:
        batches: with the columns image_id, perceptual_hash, given_group and status.
        max_distance: largest distance of near copies in bits; -1 knows exact copies only.
    """
    keys, hashes, known, groups, names = [], [], [], [], dict[str, int]()
    for batch in batches:
        is_ok = pc.equal(batch["status"], "ok")
        keys.append(_image_keys(pc.if_else(is_ok, batch["image_id"], None)))
        known.append(batch["perceptual_hash"].is_valid().to_numpy(zero_copy_only=False))
        hashes.append(batch["perceptual_hash"].fill_null(0).to_numpy())
        groups += [names.setdefault(g, len(names)) if g is not None else -1 for g in batch["given_group"].to_pylist()]
    all_keys = np.concatenate([np.zeros(0, np.uint64), *keys])
    all_hashes = np.concatenate([np.zeros(0, np.uint64), *hashes])
    all_known = np.concatenate([np.zeros(0, bool), *known])
    copies = cluster_rows(all_keys, all_hashes, all_known, max_distance)
    given = np.array(groups, dtype=np.int64)
    joined = _components(len(all_keys), np.concatenate([_equal_codes(copies), _equal_codes(given)]))
    return _named(all_keys, copies, joined, given, list(names))


def _named(
    keys: NDArray[np.uint64], copies: Positions, joined: Positions, given: Positions, names: list[str]
) -> Clusters:
    """Clusters under the row that stands for each: the one with the smallest digest, whatever the order of rows."""
    copy_of = _standing_for(copies, keys)
    copy_of[np.bincount(copies, minlength=1)[copies] < 2] = -1
    group_of = _standing_for(joined, keys)
    # Where the user names a group, its name counts, so that a new picture in it renames nothing.
    found: dict[int, str] = {}
    for row in np.flatnonzero(given >= 0).tolist():
        stands, name = int(group_of[row]), names[given[row]]
        found[stands] = min(found.get(stands, name), name)
    return Clusters(copy_of, group_of, found)


def _standing_for(clusters: Positions, keys: NDArray[np.uint64]) -> Positions:
    """(N,) of each row, the row of its cluster with the smallest key."""
    order = np.lexsort((keys, clusters))
    _, start, inverse = np.unique(clusters[order], return_index=True, return_inverse=True)
    found = np.empty(len(clusters), dtype=np.int64)
    found[order] = order[start][inverse]
    return found


def _image_keys(image_ids: pa.Array) -> NDArray[np.uint64]:
    """(N,) the first 64 bits of each digest, 0 where there is none."""
    texts = pc.fill_null(pc.utf8_slice_codeunits(image_ids, 0, 16), "0" * 16)
    return np.frombuffer(bytes.fromhex("".join(texts.to_pylist())), dtype=">u8").astype(np.uint64)


def _equal_keys(keys: NDArray[np.uint64]) -> Positions:
    rows = np.flatnonzero(keys)
    _, codes = np.unique(keys[rows], return_inverse=True)
    return np.asarray(rows[_equal_codes(codes)])


def _equal_codes(codes: Positions) -> Positions:
    """(P, 2) a chain of pairs through all rows of each code; codes below 0 join nothing."""
    order = np.argsort(codes, kind="stable")
    ordered = codes[order]
    same = (ordered[1:] == ordered[:-1]) & (ordered[1:] >= 0)
    return np.stack([order[:-1][same], order[1:][same]], axis=1)


def _within_runs(values: NDArray[np.uint64], order: Positions, keys: NDArray[np.uint64], distance: int) -> Positions:
    """(P, 2) positions of near pairs among neighbours in `order` that have equal sorted `keys`."""
    found = [np.empty((0, 2), dtype=np.int64)]
    left = np.arange(len(order))
    for step in range(1, len(order)):
        left = left[left + step < len(order)]
        left = left[keys[left] == keys[left + step]]
        if not len(left):
            break
        one, other = order[left], order[left + step]
        near = np.bitwise_count(values[one] ^ values[other]) <= distance
        found.append(np.stack([one[near], other[near]], axis=1))
    return np.concatenate(found)


def _components(count: int, edges: Positions) -> Positions:
    from scipy.sparse import coo_array  # noqa: PLC0415 - commands that scan nothing should not pay for it
    from scipy.sparse.csgraph import connected_components  # noqa: PLC0415

    graph = coo_array((np.ones(len(edges), bool), (edges[:, 0], edges[:, 1])), shape=(count, count))
    return np.asarray(connected_components(graph, directed=False)[1], dtype=np.int64)
