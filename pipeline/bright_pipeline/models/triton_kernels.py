"""The kernels of `retrieval_triton.py`, imported at their first use: only CUDA builds of torch bring Triton.

Never measured on a GPU: docs/gpus.md lists all such code.

A program handles BLOCK queries of one group; a query is a pixel of an image, numbered image by image. Tiles are
(BLOCK, CORNERS), with features (BLOCK, CORNERS, WIDTH), where WIDTH is C_v rounded up to a power of two.

    levels   (N_r, 4 + D) int64: last cell, entries, offset, whether hashed, then a multiplier per dimension
    scales   (N_r,) float32
    cells    (N_r, H_d) int64 and weights (N_r, H_d) float32: of the pixels' coordinates, on both axes

A node's entry is the sum over dimensions of node x multiplier where the level is dense, else their exclusive or.
"""

# mypy: disable-error-code="no-untyped-def"
import triton
import triton.language as tl

LEVEL_FIELDS = tl.constexpr(4)  # of a row of `levels`, before the multipliers


@triton.jit
def corner_tiles(
    keys, levels, scales, cells, weights, level, group, groups, query, inside, pixels, side, row_entries,
    KEYS: tl.constexpr, DIMENSIONS: tl.constexpr, CORNERS: tl.constexpr, BLOCK: tl.constexpr, SLOPE: tl.constexpr,
):  # fmt: skip
    """Of every query's corners, (BLOCK, CORNERS) each: entries (int64) of tables (N_h, entries, C_v), and weights.

    SLOPE: the dimension along which the weights are differentiated, by the position in cells; -1: none.
    """
    row = levels + level * (LEVEL_FIELDS + DIMENSIONS)
    last_cell, entries = tl.load(row), tl.load(row + 1).to(tl.uint32)
    hashed = tl.load(row + 3) != 0
    scale = tl.load(scales + level)
    image, pixel = query // pixels, query % pixels
    corner = tl.arange(0, CORNERS)
    index = tl.full((BLOCK, CORNERS), 0, tl.uint32)
    weight = tl.full((BLOCK, CORNERS), 1.0, tl.float32)
    for dimension in tl.static_range(DIMENSIONS):
        if dimension < KEYS:
            at = ((image.to(tl.int64) * groups + group) * KEYS + dimension) * pixels + pixel
            position = tl.load(keys + at, mask=inside, other=0.0) * scale + 0.5
            low = tl.where(position > 0, tl.floor(position), 0.0)  # 0 for what is not a number, too
            low = tl.minimum(low, last_cell.to(tl.float32))
            high_weight = position - low
            node = low.to(tl.int32)
        else:
            coordinate = pixel // side
            if dimension > KEYS:
                coordinate = pixel % side
            node = tl.load(cells + level * side + coordinate).to(tl.int32)
            high_weight = tl.load(weights + level * side + coordinate)
        step = (corner >> (DIMENSIONS - 1 - dimension)) & 1
        multiplier = tl.load(row + LEVEL_FIELDS + dimension).to(tl.uint32)
        part = (node[:, None] + step[None, :]).to(tl.uint32) * multiplier
        index = tl.where(hashed, index ^ part, index + part)
        if dimension == SLOPE:
            weight *= (2 * step - 1).to(tl.float32)[None, :]
        else:
            weight *= tl.where(step[None, :] == 1, high_weight[:, None], 1 - high_weight[:, None])
    # A hashed level has 2^T entries; past a dense level's rows the index stays below twice its entries.
    beyond = tl.where(index >= entries, index - entries, index)
    in_level = tl.where(hashed, index & (entries - 1), beyond).to(tl.int64)
    return group.to(tl.int64) * row_entries + tl.load(row + 2) + in_level, weight


@triton.jit
def feature_tile(level, group, groups, query, pixels, count, feature, FEATURES: tl.constexpr):
    """Positions of the features of queries in (N, N_h, N_r C_v, H_d, W_d): (BLOCK, WIDTH)."""
    row = (query // pixels).to(tl.int64) * groups + group
    return ((row * count + level)[:, None] * FEATURES + feature[None, :]) * pixels + (query % pixels)[:, None]


@triton.jit
def forward(
    tables, keys, levels, scales, cells, weights, output, queries, groups, pixels, side, row_entries, count,
    KEYS: tl.constexpr, DIMENSIONS: tl.constexpr, CORNERS: tl.constexpr, BLOCK: tl.constexpr,
    FEATURES: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    """F_inp of one level (equation 4)."""
    query = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    level, group = tl.program_id(1), tl.program_id(2)
    inside = query < queries
    entry, weight = corner_tiles(
        keys, levels, scales, cells, weights, level, group, groups, query, inside, pixels, side, row_entries,
        KEYS, DIMENSIONS, CORNERS, BLOCK, -1,
    )  # fmt: skip
    feature = tl.arange(0, WIDTH)
    values = tl.load(tables + entry[:, :, None] * FEATURES + feature[None, None, :],
                     mask=feature[None, None, :] < FEATURES, other=0.0)  # fmt: skip
    interpolated = tl.sum(values * weight[:, :, None], axis=1)
    at = feature_tile(level, group, groups, query, pixels, count, feature, FEATURES)
    tl.store(output + at, interpolated, mask=inside[:, None] & (feature < FEATURES)[None, :])


@triton.jit
def tables_backward(
    upstream, keys, levels, scales, cells, weights, unit, sums, queries, groups, pixels, side, row_entries, count,
    KEYS: tl.constexpr, DIMENSIONS: tl.constexpr, CORNERS: tl.constexpr, BLOCK: tl.constexpr,
    FEATURES: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    """Add to `sums`, int64 as tables (N_h, entries, C_v), the gradient of one level in units of `unit`."""
    query = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    level, group = tl.program_id(1), tl.program_id(2)
    inside = query < queries
    entry, weight = corner_tiles(
        keys, levels, scales, cells, weights, level, group, groups, query, inside, pixels, side, row_entries,
        KEYS, DIMENSIONS, CORNERS, BLOCK, -1,
    )  # fmt: skip
    feature = tl.arange(0, WIDTH)
    used = inside[:, None] & (feature < FEATURES)[None, :]
    at = feature_tile(level, group, groups, query, pixels, count, feature, FEATURES)
    gradient_part = tl.load(upstream + at, mask=used, other=0.0) * (1.0 / tl.load(unit))
    part = (gradient_part[:, None, :] * weight[:, :, None]).to(tl.int64)
    sum_at = sums + entry[:, :, None] * FEATURES + feature[None, None, :]
    tl.atomic_add(sum_at, part, mask=used[:, None, :] & (part != 0), sem="relaxed")


@triton.jit
def keys_backward(
    upstream, tables, keys, levels, scales, cells, weights, gradient, queries, groups, pixels, side, row_entries, count,
    KEYS: tl.constexpr, DIMENSIONS: tl.constexpr, CORNERS: tl.constexpr, BLOCK: tl.constexpr,
    FEATURES: tl.constexpr, WIDTH: tl.constexpr, KEY_WIDTH: tl.constexpr,
):  # fmt: skip
    """The gradient of the keys, summed over all levels in their order."""
    query = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    group = tl.program_id(1)
    inside = query < queries
    feature, key = tl.arange(0, WIDTH), tl.arange(0, KEY_WIDTH)
    used = inside[:, None] & (feature < FEATURES)[None, :]
    total = tl.full((BLOCK, KEY_WIDTH), 0.0, tl.float32)
    for level in range(count):
        entry, weight = corner_tiles(
            keys, levels, scales, cells, weights, level, group, groups, query, inside, pixels, side, row_entries,
            KEYS, DIMENSIONS, CORNERS, BLOCK, -1,
        )  # fmt: skip
        values = tl.load(tables + entry[:, :, None] * FEATURES + feature[None, None, :],
                         mask=feature[None, None, :] < FEATURES, other=0.0)  # fmt: skip
        at = feature_tile(level, group, groups, query, pixels, count, feature, FEATURES)
        gradient_part = tl.load(upstream + at, mask=used, other=0.0)
        slope = tl.sum(values * gradient_part[:, None, :], axis=2) * tl.load(scales + level)
        for along in tl.static_range(KEYS):
            entry, weight = corner_tiles(
                keys, levels, scales, cells, weights, level, group, groups, query, inside, pixels, side, row_entries,
                KEYS, DIMENSIONS, CORNERS, BLOCK, along,
            )  # fmt: skip
            total += tl.where((key == along)[None, :], tl.sum(slope * weight, axis=1)[:, None], 0.0)
    row = (query // pixels).to(tl.int64) * groups + group
    at = (row[:, None] * KEYS + key[None, :]) * pixels + (query % pixels)[:, None]
    tl.store(gradient + at, total, mask=inside[:, None] & (key < KEYS)[None, :])
