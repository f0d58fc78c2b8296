// Our CUDA kernels, launched through MLX's custom-kernel interface, so that they are nodes of MLX's
// graph and use its allocator. KV layout on the device: k and v are [P * S, K, D] each, written in
// place. Thread: the device thread.
#pragma once

#include <optional>
#include <utility>

#include "mlx/array.h"

namespace pippin::nn::cuda {

/// The host-side tables of a step, sent once. T tokens (padded to a bucket), B rows, M blocks in
/// the longest table.
struct StepArrays {
  mlx::core::array positions;  // [T] int32
  mlx::core::array slots;      // [T] int32
  mlx::core::array token_row;  // [T] int32: which table a token reads
  mlx::core::array tables;     // [B, M] int32
};

struct AttentionShape {
  int heads = 0, kv_heads = 0, head_dim = 0;
  float scale = 0, soft_cap = 0, norm_eps = 0;
  int window = 0;
  int rope_dims = 0;
  bool rope_interleaved = false;
};

/// Returns whether the attention kernels know this shape: D in {64, 128, 256}, H / K at most 8.
bool attention_supported(const AttentionShape& shape);

/// As nn::qkv_rope_kv_write. Writes into k_pool and v_pool although they are inputs: attention
/// takes the returned q, so it runs after. Shapes: qkv [T, (H + 2 K) D] -> q [T, H D]. q_norm,
/// k_norm: [D] f32, or both null.
mlx::core::array rope_kv_write(const AttentionShape& shape, const mlx::core::array& qkv,
                               const StepArrays& step, const mlx::core::array& inv_freq,
                               const mlx::core::array* q_norm, const mlx::core::array* k_norm,
                               const mlx::core::array& k_pool, const mlx::core::array& v_pool);

/// As nn::paged_attention. KV is split at fixed positions, so a row's result does not depend on the
/// batch.
mlx::core::array paged_attention(const AttentionShape& shape, const mlx::core::array& q,
                                 const StepArrays& step, const mlx::core::array& k_pool,
                                 const mlx::core::array& v_pool);

/// Returns whether add_rms_norm() knows this stream: bf16, E a multiple of 8 up to 16384.
bool add_rms_norm_supported(const mlx::core::array& x);

/// Returns {x + delta, rms_norm(x + delta)}. Shapes: [T, E]; weight [E] f32.
std::pair<mlx::core::array, mlx::core::array> add_rms_norm(const mlx::core::array& x,
                                                           const mlx::core::array& delta,
                                                           const mlx::core::array& weight,
                                                           float eps);

/// gate(x[:, :F]) * x[:, F:], SiLU or tanh-GELU. Shapes: [T, 2 F] -> [T, F].
mlx::core::array gated_activation(const mlx::core::array& x, bool gelu);

/// Rows of x up to which gemv() beats a GEMM.
inline constexpr int kGemvRowsMax = 4;

/// Returns whether gemv() knows these: bf16, few rows, K a multiple of 8.
bool gemv_supported(const mlx::core::array& x, const mlx::core::array& w);

/// x w^T with f32 sums, at the speed of reading w. Shapes: x [M, K], w [N, K] -> [M, N].
mlx::core::array gemv(const mlx::core::array& x, const mlx::core::array& w);

}  // namespace pippin::nn::cuda
