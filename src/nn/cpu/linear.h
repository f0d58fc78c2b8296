// Quantised linear layers on the CPU. Weights are packed once; activations are quantised to int8 in
// groups of 32. Sums are of integers inside a group, and groups are added in a fixed order. So a
// row's result does not depend on M, on its neighbours or on the number of threads.
// Owner of packed weights: the model. Thread: pack and linear from the device thread, over the
// pool.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "base/result.h"
#include "base/tensor_type.h"
#include "base/thread_pool.h"
#include "nn/types/gate.h"

namespace pippin::nn::cpu {

/// Instruction-set paths. kPortable is the oracle of the others.
enum class Isa : uint8_t {
  kPortable,
  kAvx2,
  kAvx512,
  kAvx512Vnni,
  kNeonDot,
  kAvx2Vnni,
  kAvx512Zen
};

/// Returns the best path this machine can run; PIPPIN_CPU_ISA ("portable", "avx2", "avx512",
/// "avx512vnni", "avx512zen", "avx2vnni", "neon") forces one. Errors: kUnsupported, when a forced
/// path cannot run here.
Result<Isa> select_isa();
bool isa_available(Isa isa);
/// Returns the path's name, as PIPPIN_CPU_ISA takes it.
const char* isa_name(Isa isa);

/// How activations enter the products.
enum class Activations : uint8_t { kInt8, kF32 };

/// Memory for packed weights: chunks in huge pages, of which small matrices get a part. On a
/// virtual machine, a walk of the page tables every 4 KiB halves the speed of reading. A chunk
/// lives as long as any part of it. Thread: the device thread.
class WeightArena {
 public:
  /// `chunk`: bytes of a chunk, at least; what is left of the last one is never touched.
  explicit WeightArena(size_t chunk = size_t{32} << 20) : chunk_bytes_(chunk) {}
  /// Returns `bytes` of 64-byte aligned memory, not touched yet.
  std::shared_ptr<uint8_t> take(size_t bytes);

 private:
  size_t chunk_bytes_;
  std::shared_ptr<uint8_t> chunk_;
  size_t used_ = 0, size_ = 0;  // of the chunk
};

/// A weight matrix [N, K] repacked for one path. Immutable; holds memory of an arena.
class PackedLinear {
 public:
  /// kStacked: parts lie one behind the other (q, k, v), for linear(). kInterleaved: tiles of two
  /// parts with as many rows alternate (gate, up), for gated_linear().
  enum class Order : uint8_t { kStacked, kInterleaved };
  /// Packs N x K weights whose rows are contiguous blocks of `type`. Several parts with the same K
  /// make one matrix along N. Without an arena, the memory is its own.
  /// Errors: kUnsupported, when the type or group is unknown, or does not divide K; kInvalidFile,
  /// when bytes, scales or biases end before the last row.
  struct Part {
    TensorType type;
    std::span<const std::byte> bytes;
    int64_t rows;
    QuantisationParameters mlx = {};  // where scales lie apart from the codes
  };
  static Result<PackedLinear> pack(std::span<const Part> parts, int64_t columns, Isa isa,
                                   ThreadPool& pool, WeightArena* arena = nullptr,
                                   Order order = Order::kStacked);

  PackedLinear(PackedLinear&&) noexcept;
  PackedLinear& operator=(PackedLinear&&) noexcept;
  ~PackedLinear();

  int64_t rows() const;     // N
  int64_t columns() const;  // K
  size_t bytes() const;     // memory held
  /// Writes the exact f32 values of row n (for embedding look-ups and tests). out: [K].
  void row(int64_t n, float* out) const;

  struct Impl;
  const Impl& impl() const { return *impl_; }

 private:
  explicit PackedLinear(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

/// Returns the bits that a weight of a type takes in a PackedLinear. Requires: not is_affine(type).
double packed_bits(TensorType type);

/// y = x * W^T (+ bias). Shapes: x [M, K] f32, y [M, N] f32, both with rows contiguous; bias [N] or
/// null. `scratch` keeps the quantised activations between calls and grows as needed. `next`,
/// if given, is the matrix of the next product: idle threads prefetch it.
class LinearScratch;
void linear(const PackedLinear& weight, const float* x, int64_t m, const float* bias, float* y,
            LinearScratch& scratch, ThreadPool& pool, Activations activations = Activations::kInt8,
            const PackedLinear* next = nullptr);

/// y = gate(x * Wg^T (+ bias)) * (x * Wu^T (+ bias)), of interleaved weights [Wg; Wu]. Shapes: x
/// [M, K], y [M, N / 2]; bias [N] or null. The rest is as in linear().
void gated_linear(const PackedLinear& weight, const float* x, int64_t m, const float* bias,
                  Gate gate, float* y, LinearScratch& scratch, ThreadPool& pool,
                  Activations activations = Activations::kInt8, const PackedLinear* next = nullptr);

/// y = gated_linear(gate_up, x) * Wd^T (+ bias): a gated feed-forward layer. The bits are those of
/// the two products. With many rows, the first one's outputs are quantised while they are in cache.
/// Shapes: x [M, K], y [M, N] of `down`.
void feed_forward(const PackedLinear& gate_up, const PackedLinear& down, const float* x, int64_t m,
                  const float* gate_up_bias, const float* down_bias, Gate gate, float* y,
                  LinearScratch& scratch, ThreadPool& pool,
                  Activations activations = Activations::kInt8, const PackedLinear* next = nullptr);

class LinearScratch {
 public:
  LinearScratch();
  ~LinearScratch();
  struct Impl;
  Impl& impl() { return *impl_; }

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace pippin::nn::cpu
