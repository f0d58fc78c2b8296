// MatrixWeight, ExpertMatrices: what the reference backend and those of GPUs make of weights.
// Either dense, or in MLX's quantised forms as affine_matrix.h makes them. Owner: the model.
// Thread: the device thread.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "mlx/array.h"
#include "mlx/dtype.h"
#include "nn/backend/weight.h"
#include "nn/reference/affine_matrix.h"

namespace pippin::nn {

namespace mx = mlx::core;

struct DenseWeight;

/// A weight [N, K].
struct MatrixWeight : PreparedWeight {
  /// Shapes: [T, K] -> [T, N].
  virtual mx::array product(const mx::array& x) const = 0;
  /// The rows of those numbers. Shapes: [T] int32 -> [T, K] of `dtype`.
  virtual mx::array rows(const mx::array& ids, mx::Dtype dtype) const = 0;
  /// This, if it is dense; else null.
  virtual const DenseWeight* dense() const { return nullptr; }
};

struct DenseWeight final : MatrixWeight {
  explicit DenseWeight(mx::array of);
  mx::array product(const mx::array& x) const override;
  mx::array rows(const mx::array& ids, mx::Dtype dtype) const override;
  const DenseWeight* dense() const override { return this; }

  mx::array values;      // [N, K]
  mx::array transposed;  // [K, N], a view of the same
};

struct QuantisedWeight final : MatrixWeight {
  explicit QuantisedWeight(AffineMatrix of) : matrix(std::move(of)) {}
  mx::array product(const mx::array& x) const override;
  mx::array rows(const mx::array& ids, mx::Dtype dtype) const override;

  AffineMatrix matrix;
};

/// Parts of several forms, one behind the other along N.
struct StackedWeight final : MatrixWeight {
  explicit StackedWeight(std::vector<std::shared_ptr<MatrixWeight>> of) : parts(std::move(of)) {}
  mx::array product(const mx::array& x) const override;
  mx::array rows(const mx::array& ids, mx::Dtype dtype) const override;

  std::vector<std::shared_ptr<MatrixWeight>> parts;
};

/// A weight [N, K] of each expert.
struct ExpertMatrices : PreparedWeight {
  /// Row t of x times the weight of its k-th expert. Shapes: x [T, 1 or k, K], experts [T, k]
  /// uint32 -> [T, k, N].
  virtual mx::array product(const mx::array& x, const mx::array& experts) const = 0;
};

struct DenseExperts final : ExpertMatrices {
  /// Shapes: [experts, N, K].
  explicit DenseExperts(const mx::array& of);
  mx::array product(const mx::array& x, const mx::array& experts) const override;

  mx::array transposed;  // [experts, K, N], a view of [experts, N, K]
};

struct QuantisedExperts final : ExpertMatrices {
  explicit QuantisedExperts(AffineMatrix of) : matrix(std::move(of)) {}
  mx::array product(const mx::array& x, const mx::array& experts) const override;

  AffineMatrix matrix;
};

struct StackedExperts final : ExpertMatrices {
  explicit StackedExperts(std::vector<std::shared_ptr<ExpertMatrices>> of) : parts(std::move(of)) {}
  mx::array product(const mx::array& x, const mx::array& experts) const override;

  std::vector<std::shared_ptr<ExpertMatrices>> parts;
};

}  // namespace pippin::nn
