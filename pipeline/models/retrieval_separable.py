"""Retrieval in two steps, for C_key = 1: exact, and cheaper than gathering eight corners per query.

The coordinates (x, y) of a feature block are the same for every image. So each level is interpolated over
(x, y) onto the H_d x W_d grid once per batch, which leaves one row of key nodes for every pixel,

    G[i, j, k] = sum over 4 corners (a, b) of  w_a(x_i) w_b(y_j)  T[k, a, b]

and a key then reads two neighbours of its pixel's row: (1 - w) G[i, j, cell] + w G[i, j, cell + 1].
A hashed level, or a node past a row's end, is read out into the dense grid T[k, a, b] by a list of entries.

All of it is linear in the tables, and fixed but for the last step: sparse matrix products with constant
matrices, written as `embedding_bag` (a row of the matrix is a bag), forward with the matrix and backward with
its transpose. On a CPU no sum depends on the order in which threads finish.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import FunctionCtx

from pipeline.models.levels import Level


@dataclass(frozen=True)
class SparseMatrix:
    """A constant sparse matrix by rows: bag `r` holds `columns[offsets[r]:offsets[r + 1]]` with `weights`."""

    columns: Tensor
    offsets: Tensor
    weights: Tensor | None

    def __matmul__(self, dense: Tensor) -> Tensor:
        return F.embedding_bag(
            self.columns, dense, self.offsets, mode="sum", per_sample_weights=self.weights, include_last_offset=True
        )

    def to(self, device: torch.device) -> "SparseMatrix":
        weights = None if self.weights is None else self.weights.to(device)
        return SparseMatrix(self.columns.to(device), self.offsets.to(device), weights)


def sparse_matrix(rows: Tensor, columns: Tensor, weights: Tensor | None, height: int) -> SparseMatrix:
    """From coordinates (row, column, weight); the order within a row is fixed."""
    order = torch.argsort(rows, stable=True)
    offsets = torch.zeros(height + 1, dtype=torch.int64, device="cpu")
    offsets[1:] = torch.bincount(rows, minlength=height).cumsum(0)
    return SparseMatrix(columns[order], offsets, None if weights is None else weights[order].float())


@dataclass(frozen=True)
class LevelPlan:
    """The constant matrices of one level.

    read_out: entries of the nodes (column x y pair, key node), pairs x key_nodes long; spread: (H_d W_d, pairs).
    """

    level: Level
    key_nodes: int
    read_out: Tensor
    read_out_transposed: SparseMatrix
    spread: SparseMatrix
    spread_transposed: SparseMatrix

    def to(self, device: torch.device) -> "LevelPlan":
        parts = (self.read_out, self.read_out_transposed, self.spread, self.spread_transposed)
        return LevelPlan(self.level, self.key_nodes, *(part.to(device) for part in parts))

    def grid(self, table: Tensor) -> Tensor:
        """G of one group: table (entries, C_v) -> (H_d W_d key_nodes, C_v)."""
        dense = table.index_select(0, self.read_out).view(-1, self.key_nodes * table.shape[1])
        return (self.spread @ dense).view(-1, table.shape[1])

    def grid_transposed(self, gradient: Tensor) -> Tensor:
        """The gradient of `table` from that of G."""
        features = gradient.shape[1]
        dense = self.spread_transposed @ gradient.view(-1, self.key_nodes * features)
        return self.read_out_transposed @ dense.view(-1, features)

    def rows(self, keys: Tensor) -> tuple[Tensor, Tensor]:
        """Of keys (H_d W_d, N): G's row with the lower neighbour, and the upper one's weight."""
        cell, weight = self.level.key_cells(keys)
        pixel = torch.arange(len(keys), device=keys.device)[:, None]
        return (pixel * self.key_nodes + cell).view(-1), weight.view(-1, 1)

    def scatter(self, keys: Tensor, gradient: Tensor) -> Tensor:
        """The gradient of G from that of the features read from it, (H_d W_d, N, C_v).

        On a CPU each pixel's row takes its images one after the other: the same sum at every run. CUDA adds them in
        whatever order its threads finish, and weights trained there differ in their last bits.
        """
        pixels, _, features = gradient.shape
        cell, weight = self.level.key_cells(keys)
        cell = cell[:, :, None].expand_as(gradient)
        high = gradient * weight[:, :, None]
        grid = gradient.new_zeros(pixels, self.key_nodes, features)
        grid.scatter_add_(1, cell, gradient - high)
        grid.scatter_add_(1, cell + 1, high)
        return grid.view(-1, features)


def plan_level(level: Level, feature_size: int) -> LevelPlan:
    """Work out the matrices of one level."""
    cell, weight = level.pixel_cells(feature_size)
    used, position = torch.unique(torch.cat([cell, cell + 1]), return_inverse=True)
    corner = position.view(2, feature_size)  # of every pixel row or column: its two nodes among the used ones
    corner_weight = torch.stack([1 - weight, weight])
    # pairs are numbered y-major, as the entries lie
    pairs = corner[None, :, None, :] * len(used) + corner[:, None, :, None]
    weights = corner_weight[:, None, :, None] * corner_weight[None, :, None, :]
    pixels = torch.arange(feature_size**2, device="cpu").view(feature_size, feature_size).expand_as(weights)
    pixels, pairs, weights = (part.reshape(-1) for part in (pixels, pairs, weights))
    key_nodes = level.cells + 1
    key = torch.arange(key_nodes, device="cpu")
    read_out = level.index([key[None, None, :], used[None, :, None], used[:, None, None]]).reshape(-1)
    return LevelPlan(
        level,
        key_nodes,
        read_out,
        sparse_matrix(read_out, torch.arange(len(read_out), device="cpu"), None, level.entries),
        sparse_matrix(pixels, pairs, weights, feature_size**2),
        sparse_matrix(pairs, pixels, weights, len(used) ** 2),
    )


class _SeparableLookup(torch.autograd.Function):
    """Tables and keys to interpolated features, level by level, so that no more than one grid is held."""

    @staticmethod
    def forward(
        ctx: FunctionCtx, tables: Tensor, code: Tensor, plans: list[LevelPlan], grids: list[list[Tensor]] | None
    ) -> Tensor:
        groups, _, features = tables.shape
        images, _, pixels = code.shape
        keys = code.permute(1, 2, 0).contiguous()  # (N_h, H_d W_d, N): the images of a pixel share a row of G
        output = code.new_empty(images, groups, len(plans), features, pixels)
        slope = torch.empty_like(output) if code.requires_grad else None
        for number, plan in enumerate(plans):
            for group, table in enumerate(plan.level.of(tables)):
                grid = plan.grid(table) if grids is None else grids[number][group]
                row, weight = plan.rows(keys[group])
                low = grid.index_select(0, row)
                difference = grid.index_select(0, row + 1).sub_(low)
                output[:, group, number] = _image_major(low.addcmul_(difference, weight), images)
                if slope is not None:
                    slope[:, group, number] = _image_major(difference, images)
        ctx.save_for_backward(keys, slope)
        ctx.plans, ctx.shape = plans, tables.shape
        return output.flatten(2, 3)

    @staticmethod
    def backward(ctx: FunctionCtx, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        keys, slope = ctx.saved_tensors
        plans: list[LevelPlan] = ctx.plans
        needs_tables, needs_code = ctx.needs_input_grad[:2]
        upstream = gradient.unflatten(2, (len(plans), -1))
        table_gradient = code_gradient = None
        if needs_code:
            scales = torch.tensor([plan.level.scale for plan in plans], dtype=keys.dtype).to(keys.device)
            per_feature = (upstream * slope).flatten(2, 3)
            code_gradient = torch.matmul(scales.repeat_interleave(upstream.shape[3]), per_feature)
        if needs_tables:
            table_gradient = gradient.new_empty(ctx.shape)
            for number, plan in enumerate(plans):
                for group, table in enumerate(plan.level.of(table_gradient)):
                    # (H_d W_d, N, C_v), as the keys lie
                    rows = upstream[:, group, number].permute(2, 0, 1).contiguous()
                    table.copy_(plan.grid_transposed(plan.scatter(keys[group], rows)))
        return table_gradient, code_gradient, None, None


def _image_major(rows: Tensor, images: int) -> Tensor:
    """(H_d W_d N, C_v) -> (N, C_v, H_d W_d)."""
    return rows.view(-1, images, rows.shape[1]).permute(1, 2, 0)


class SeparableRetrieval:
    """The interpolated features of every unit key by a grid per level and a 1-D interpolation."""

    name = "separable"

    def __init__(self, levels: tuple[Level, ...], feature_size: int):
        self.levels, self.feature_size = levels, feature_size
        self.grids: list[list[Tensor]] | None = None
        self._plans: dict[torch.device, list[LevelPlan]] = {}

    def plans(self, device: torch.device) -> list[LevelPlan]:
        """The constant matrices, worked out at first use."""
        if device not in self._plans:
            self._plans[device] = [plan_level(level, self.feature_size).to(device) for level in self.levels]
        return self._plans[device]

    def make_grids(self, tables: Tensor) -> list[list[Tensor]]:
        """G of every level and group, for many batches with the same tables."""
        return [[plan.grid(table) for table in plan.level.of(tables)] for plan in self.plans(tables.device)]

    def __call__(self, tables: Tensor, code: Tensor) -> Tensor:
        """As `hash_tables.Retrieval` says."""
        output = _SeparableLookup.apply(tables, code.flatten(2), self.plans(tables.device), self.grids)
        return output.unflatten(-1, code.shape[-2:])
