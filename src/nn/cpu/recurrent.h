// Recurrent layers on the CPU: token by token, for prompts and single tokens alike, so that no cut
// of a prompt changes a bit. A state stays in the cache while all tokens of its row pass. Internal
// to nn/cpu and its backend. Thread: the device thread, over the pool.
#pragma once

#include <cstdint>
#include <span>

#include "base/thread_pool.h"
#include "nn/types/attention_row.h"

namespace pippin::nn::cpu {

struct RecurrentKernels;

/// The states of a layer. `first`: of state 0; they lie `stride` floats apart.
struct StateArray {
  float* first = nullptr;
  int64_t stride = 0;
  float* at(int state) const { return first + state * stride; }
};

/// A matrix of the step, [T, ...] f32, rows `stride` floats apart.
struct TokenRows {
  const float* first = nullptr;
  int64_t stride = 0;
  const float* at(int64_t token) const { return first + token * stride; }
};

/// nn::causal_conv(). Gated: b, c and x, else x alone. out: [T, C].
struct ConvArgs {
  int channels = 0, taps = 0;
  const float *weight = nullptr, *bias = nullptr;  // [taps, C]; [C] or null
  bool silu = false;
  TokenRows x, b, c;
  StateArray states;  // [taps - 1, C]
  std::span<const AttentionRow> rows;
  float* out = nullptr;
};
void causal_conv(const RecurrentKernels& path, const ConvArgs& args, ThreadPool& pool);

/// nn::gated_delta_rule(). q and k are normed in place.
struct DeltaRuleArgs {
  int key_heads = 0, heads = 0, key_dim = 0, value_dim = 0;
  bool keys_tiled = false;
  const float *decay = nullptr, *dt_bias = nullptr;
  float* qkv = nullptr;  // [T, 2 K D + H V]
  TokenRows ab;
  StateArray states;  // [H, D, V]
  std::span<const AttentionRow> rows;
  float* out = nullptr;      // [T, H V]
  float* scratch = nullptr;  // [T, 2 H]
};
void gated_delta_rule(const RecurrentKernels& path, const DeltaRuleArgs& args, ThreadPool& pool);

/// nn::ssd_scan().
struct SsdArgs {
  int heads = 0, head_dim = 0, groups = 0, state = 0;
  const float *decay = nullptr, *dt_bias = nullptr, *skip = nullptr;
  float dt_factor = 1, dt_min = 0, dt_max = 0;
  const float* xbc = nullptr;  // [T, H P + 2 G N]
  TokenRows dt;
  StateArray states;  // [H, N, P]
  std::span<const AttentionRow> rows;
  float* out = nullptr;      // [T, H P]
  float* scratch = nullptr;  // [T, 2 H]
};
void ssd_scan(const RecurrentKernels& path, const SsdArgs& args, ThreadPool& pool);

/// nn::mamba_scan().
struct MambaArgs {
  int channels = 0, state = 0;
  const float *decay = nullptr, *skip = nullptr;
  TokenRows x, dt, bc;
  StateArray states;  // [N, C]
  std::span<const AttentionRow> rows;
  float* out = nullptr;  // [T, C]
};
void mamba_scan(const RecurrentKernels& path, const MambaArgs& args, ThreadPool& pool);

/// nn::gated_norm(), of `tokens` rows of `width` columns. out: [T, E].
struct GatedNormArgs {
  const float* weight = nullptr;  // [E], or null
  int width = 0, group = 0;
  float eps = 0, gate_factor = 1;
  bool gate_first = false;
  TokenRows x, gate;
  int64_t tokens = 0;
  float* out = nullptr;
};
void gated_norm(const RecurrentKernels& path, const GatedNormArgs& args, ThreadPool& pool);

// The kernels of one instruction set, of which each computes a slice of one row's columns.

struct ConvTile {
  const ConvArgs* args = nullptr;
  const AttentionRow* row = nullptr;
  float* history = nullptr;
  int first = 0, count = 0;  // channels; count <= kConvSlice
};
constexpr int kConvSlice = 256;

/// Columns [first, first + count) of a head's matrix; count is a multiple of 16.
struct MatrixTile {
  const AttentionRow* row = nullptr;
  float* matrix = nullptr;  // of the head, [rows, stride]
  int64_t stride = 0;
  int head = 0, first = 0, count = 0;
};
/// Columns of a matrix that one task takes.
constexpr int kMatrixSlice = 64;

struct RecurrentKernels {
  void (*conv)(const ConvTile& tile) = nullptr;
  /// Norms q and k of a token; writes exp(decay * softplus(a + dt_bias)) and sigmoid(b), [2 H].
  void (*delta_prepare)(const DeltaRuleArgs& args, int64_t token) = nullptr;
  void (*delta)(const DeltaRuleArgs& args, const MatrixTile& tile) = nullptr;
  /// Writes a token's step sizes and exp(decay * step), [2 H].
  void (*ssd_prepare)(const SsdArgs& args, int64_t token) = nullptr;
  void (*ssd)(const SsdArgs& args, const MatrixTile& tile) = nullptr;
  void (*mamba)(const MambaArgs& args, const MatrixTile& tile) = nullptr;
  void (*gated_norm)(const GatedNormArgs& args, int64_t token) = nullptr;
};

}  // namespace pippin::nn::cpu
