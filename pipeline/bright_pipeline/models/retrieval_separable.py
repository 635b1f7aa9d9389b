"""Retrieval in two steps, for C_key = 1: exact, and cheaper than eight corners per query.

The coordinates (x, y) of a feature block are the same for every image. So each level is interpolated over (x, y) onto
the H_d x W_d grid once per batch. This gives every pixel one row of key nodes,

    G[i, j, k] = sum over 4 corners (a, b) of  w_a(x_i) w_b(y_j)  T[k, a, b]

and a key then reads two neighbours of its pixel's row: (1 - w) G[i, j, cell] + w G[i, j, cell + 1].
A list of entries reads a hashed level, and nodes past a row's end, into the dense grid T[k, a, b].

All steps are linear in the tables, and all but the last are constant: products with sparse matrices, written as
`embedding_bag` (a row of the matrix is a bag), forward with the matrix and backward with its transpose. On a CPU no sum
depends on the order in which threads finish.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import FunctionCtx

from bright_pipeline.models.levels import Level


class SparseMatrix:
    """A constant sparse matrix by rows: row `r` has `columns[offsets[r]:offsets[r + 1]]` with `weights`."""

    def __init__(self, rows: Tensor, columns: Tensor, weights: Tensor | None, height: int, device: torch.device):
        """From coordinates (row, column, weight); the order within a row is fixed."""
        order = torch.argsort(rows, stable=True)
        offsets = torch.zeros(height + 1, dtype=torch.int64, device="cpu")
        offsets[1:] = torch.bincount(rows, minlength=height).cumsum(0)
        self.columns, self.offsets = columns[order].to(device), offsets.to(device)
        self.weights = None if weights is None else weights[order].float().to(device)

    def __matmul__(self, dense: Tensor) -> Tensor:
        return F.embedding_bag(
            self.columns, dense, self.offsets, mode="sum", per_sample_weights=self.weights, include_last_offset=True
        )


class LevelPlan:
    """The constant matrices of one level, computed on the CPU."""

    def __init__(self, level: Level, feature_size: int, device: torch.device):
        self.level, self.key_nodes = level, level.cells + 1
        cell, weight = level.pixel_cells(feature_size)
        used, position = torch.unique(torch.cat([cell, cell + 1]), return_inverse=True)
        corner = position.view(2, feature_size)  # the two nodes of every pixel row or column, among the used ones
        corner_weight = torch.stack([1 - weight, weight])
        # pairs are numbered y-major, in the order of the entries
        pairs = corner[None, :, None, :] * len(used) + corner[:, None, :, None]
        weights = corner_weight[:, None, :, None] * corner_weight[None, :, None, :]
        pixels = torch.arange(feature_size**2, device="cpu").view(feature_size, feature_size).expand_as(weights)
        pixels, pairs, weights = (part.reshape(-1) for part in (pixels, pairs, weights))
        self.spread = SparseMatrix(pixels, pairs, weights, feature_size**2, device)  # (H_d W_d, pairs)
        self.spread_transposed = SparseMatrix(pairs, pixels, weights, len(used) ** 2, device)
        # The entries of the nodes (column x y pair, key node), pairs x key_nodes long.
        key = torch.arange(self.key_nodes, device="cpu")
        read_out = level.index([key[None, None, :], used[None, :, None], used[:, None, None]]).reshape(-1)
        entries = torch.arange(len(read_out), device="cpu")
        self.read_out = read_out.to(device)
        self.read_out_transposed = SparseMatrix(read_out, entries, None, level.entries, device)

    def grid(self, tables: Tensor) -> Tensor:
        """G of the groups of tables (groups, entries, C_v): (H_d W_d groups key_nodes, C_v)."""
        groups, _, features = tables.shape
        dense = tables.index_select(1, self.read_out).view(groups, -1, self.key_nodes * features)
        return (self.spread @ dense.transpose(0, 1).flatten(1)).view(-1, features)

    def grid_transposed(self, gradient: Tensor, groups: int) -> Tensor:
        """The gradient of tables (groups, entries, C_v) from that of G."""
        features = gradient.shape[1]
        dense = self.spread_transposed @ gradient.view(-1, groups * self.key_nodes * features)
        nodes = dense.view(-1, groups, self.key_nodes, features).transpose(1, 2)
        by_entry = self.read_out_transposed @ nodes.reshape(-1, groups * features)
        return by_entry.view(-1, groups, features).transpose(0, 1)

    def rows(self, keys: Tensor) -> tuple[Tensor, Tensor]:
        """For keys (H_d W_d, groups, N): the row of G with the lower neighbour, and the weight of the upper one."""
        cell, weight = self.level.key_cells(keys)
        first = torch.arange(0, keys[..., 0].numel() * self.key_nodes, self.key_nodes, device=keys.device)
        return (first.view(-1, keys.shape[1], 1) + cell).view(-1), weight.view(-1, 1)

    def scatter(self, keys: Tensor, gradient: Tensor) -> Tensor:
        """The gradient of G from that of the features read from it, (H_d W_d, groups, N, C_v).

        On a CPU a pixel's row adds its images in order, so the sum is the same at every run. CUDA adds them in the
        order in which its threads finish, so weights trained there differ in their last bits.
        """
        pixels, groups, _, features = gradient.shape
        cell, weight = self.level.key_cells(keys)
        cell = cell[..., None].expand_as(gradient)
        high = gradient * weight[..., None]
        grid = gradient.new_zeros(pixels, groups, self.key_nodes, features)
        grid.scatter_add_(2, cell, gradient - high)
        grid.scatter_add_(2, cell + 1, high)
        return grid.view(-1, features)


class _SeparableLookup(torch.autograd.Function):
    """Tables and keys to interpolated features, level by level: one level's grids are in memory at a time."""

    @staticmethod
    def forward(
        ctx: FunctionCtx, tables: Tensor, code: Tensor, plans: list[LevelPlan], grids: list[list[Tensor]] | None
    ) -> Tensor:
        images, groups, pixels = code.shape
        parts = groups_at_once(groups, code.device)
        keys = [code[:, part].permute(2, 1, 0).contiguous() for part in parts]  # the images of a pixel share a row of G
        output = code.new_empty(images, groups, len(plans), tables.shape[2], pixels)
        slope = torch.empty_like(output) if code.requires_grad else None
        for number, plan in enumerate(plans):
            for turn, (part, part_keys) in enumerate(zip(parts, keys, strict=True)):
                grid = plan.grid(plan.level.part(tables)[part]) if grids is None else grids[number][turn]
                row, weight = plan.rows(part_keys)
                low = grid.index_select(0, row)
                difference = grid.index_select(0, row + 1).sub_(low)
                output[:, part, number] = _image_major(low.addcmul_(difference, weight), part_keys)
                if slope is not None:
                    slope[:, part, number] = _image_major(difference, part_keys)
        ctx.save_for_backward(slope, *keys)
        ctx.plans, ctx.parts, ctx.shape = plans, parts, tables.shape
        return output.flatten(2, 3)

    @staticmethod
    def backward(ctx: FunctionCtx, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        slope, *keys = ctx.saved_tensors
        plans: list[LevelPlan] = ctx.plans
        needs_tables, needs_code = ctx.needs_input_grad[:2]
        upstream = gradient.unflatten(2, (len(plans), -1))
        table_gradient = code_gradient = None
        if needs_code:
            scales = torch.tensor([plan.level.scale for plan in plans], dtype=gradient.dtype).to(gradient.device)
            per_feature = (upstream * slope).flatten(2, 3)
            code_gradient = torch.matmul(scales.repeat_interleave(upstream.shape[3]), per_feature)
        if needs_tables:
            table_gradient = gradient.new_empty(ctx.shape)
            for number, plan in enumerate(plans):
                for part, part_keys in zip(ctx.parts, keys, strict=True):
                    # (H_d W_d, N_h, N, C_v), in the order of the keys
                    rows = upstream[:, part, number].permute(3, 1, 0, 2).contiguous()
                    gradients = plan.grid_transposed(plan.scatter(part_keys, rows), part_keys.shape[1])
                    plan.level.part(table_gradient)[part].copy_(gradients)
        return table_gradient, code_gradient, None, None


def groups_at_once(groups: int, device: torch.device) -> list[slice]:
    """The groups of one step: all, but on a CPU one at a time, since its caches hold one."""
    step = 1 if device.type == "cpu" else groups
    return [slice(first, first + step) for first in range(0, groups, step)]


def _image_major(rows: Tensor, keys: Tensor) -> Tensor:
    """(H_d W_d N_h N, C_v) of keys (H_d W_d, N_h, N) -> (N, N_h, C_v, H_d W_d)."""
    return rows.view(*keys.shape, -1).permute(2, 1, 3, 0)


class SeparableRetrieval:
    """The interpolated features of every unit key by a grid per level and a 1-D interpolation."""

    name = "separable"

    def __init__(self, levels: tuple[Level, ...], feature_size: int):
        self.levels, self.feature_size = levels, feature_size
        self._plans: dict[torch.device, list[LevelPlan]] = {}
        self._keeps = False
        self._grids: list[list[Tensor]] | None = None

    def plans(self, device: torch.device) -> list[LevelPlan]:
        """The constant matrices, computed at the first use."""
        if device not in self._plans:
            self._plans[device] = [LevelPlan(level, self.feature_size, device) for level in self.levels]
        return self._plans[device]

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """A context in which the tables do not change: G of every level and group is computed at the first call."""
        self._keeps = True
        try:
            yield
        finally:
            self._keeps, self._grids = False, None

    def __call__(self, tables: Tensor, code: Tensor) -> Tensor:
        plans = self.plans(tables.device)
        if self._keeps and self._grids is None:
            parts = groups_at_once(len(tables), tables.device)
            with torch.no_grad():
                self._grids = [[plan.grid(plan.level.part(tables)[part]) for part in parts] for plan in plans]
        return _SeparableLookup.apply(tables, code.flatten(2), plans, self._grids).unflatten(-1, code.shape[-2:])
