#include <bit>
#include <string>
#include <vector>

#include "base/check.h"
#include "mlx/fast.h"
#include "nn/cuda/kernels.h"

namespace pippin::nn::cuda {
namespace {

namespace mx = mlx::core;

// Positions per split of the KV; a constant, so that the order of additions never depends on the
// batch.
constexpr int kSplit = 128;
constexpr int kThreads = 128;

// A warp per (token, head). Rotates q and k, and scatters k and v into their slots.
constexpr const char* kRopeSource = R"(
  constexpr int kAll = H + 2 * K;
  constexpr int kHalf = ROPE / 2;
  const int token = blockIdx.x, lane = threadIdx.x % 32;
  const int head = blockIdx.y * (blockDim.x / 32) + threadIdx.x / 32;
  if (head >= kAll) return;
  const float position = static_cast<float>(positions[token]);
  const long slot = slots[token];
  const T* source = qkv + (static_cast<long>(token) * kAll + head) * D;
  if (head >= H + K) {
    T* v_write = const_cast<T*>(v_pool) + (slot * K + head - H - K) * D;
    for (int i = lane; i < D; i += 32) v_write[i] = source[i];
    return;
  }
  T* target = head < H ? q + (static_cast<long>(token) * H + head) * D
                       : const_cast<T*>(k_pool) + (slot * K + head - H) * D;
  const float* weight = head < H ? q_norm : k_norm;
  float scale = 1.0f;
  if (NORM) {
    float sum = 0.0f;
    for (int i = lane; i < D; i += 32) sum += static_cast<float>(source[i]) * static_cast<float>(source[i]);
    for (int step = 16; step > 0; step /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, step);
    scale = rsqrtf(sum / D + __int_as_float(NORM_EPS));
  }
  for (int i = lane; i < kHalf; i += 32) {
    const int first = INTERLEAVED ? 2 * i : i, second = INTERLEAVED ? 2 * i + 1 : i + kHalf;
    float a = static_cast<float>(source[first]) * scale, b = static_cast<float>(source[second]) * scale;
    if (NORM) { a *= weight[first]; b *= weight[second]; }
    float sine, cosine;
    sincosf(position * inv_freq[i], &sine, &cosine);
    target[first] = static_cast<T>(a * cosine - b * sine);
    target[second] = static_cast<T>(a * sine + b * cosine);
  }
  for (int i = ROPE + lane; i < D; i += 32) {
    float a = static_cast<float>(source[i]) * scale;
    if (NORM) a *= weight[i];
    target[i] = static_cast<T>(a);
  }
)";

// One block per (token, KV head, split); the heads of a group share each read. Keys and values come
// into shared memory a tile at a time. Scores: a thread per position and share of the dimensions,
// so that no sum crosses lanes. Values: a thread per two dimensions and share of the positions.
constexpr const char* kPartSource = R"(
  constexpr int G = H / K, GP = (G + 3) / 4 * 4, CHUNKS = D / 8;
  constexpr int TILE = D == 256 ? 32 : 64;       // positions
  constexpr int SHARES = THREADS / TILE;         // of the dimensions, in the scores
  constexpr int GROUPS = THREADS / (D / 2);      // of the positions, in the values
  __shared__ alignas(16) T keys[TILE * D];       // 16-byte chunks of row p lie at chunk ^ (p % 8)
  __shared__ alignas(16) T values[TILE * D];
  __shared__ alignas(16) float query[G * D];
  __shared__ alignas(16) float scores[SHARES][TILE][GP];
  __shared__ alignas(16) float weights[TILE][GP];
  __shared__ float kept[GP], tops[GP], sums[GP];
  const int token = blockIdx.x, kv_head = blockIdx.y, split = blockIdx.z, splits = gridDim.z;
  const int thread = threadIdx.x, warp = thread / 32, lane = thread % 32;
  const int position = positions[token];
  const int* table = tables + static_cast<long>(token_row[token]) * tables_shape[1];
  const int end = min((split + 1) * SPLIT, position + 1);
  const int begin = max(split * SPLIT, WINDOW > 0 ? position - WINDOW + 1 : 0);
  if (begin >= end) return;  // the join does not read it
  const auto fetch = [&](const T* pool, T* to, int base, bool swizzled) {
    _Pragma("unroll")
    for (int i = thread; i < TILE * CHUNKS; i += THREADS) {
      const int row = i / CHUNKS, chunk = i % CHUNKS, at = min(base + row, end - 1);
      const long slot = static_cast<long>(table[at / 16]) * 16 + at % 16;
      const T* from = pool + (slot * K + kv_head) * D + chunk * 8;
      const unsigned target = static_cast<unsigned>(
          __cvta_generic_to_shared(to + row * D + (swizzled ? chunk ^ (row % 8) : chunk) * 8));
      asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(target), "l"(from));
    }
    asm volatile("cp.async.commit_group;");
  };
  fetch(k_pool, keys, begin, true);
  fetch(v_pool, values, begin, false);
  const T* q_rows = q + (static_cast<long>(token) * H + kv_head * G) * D;
  for (int i = thread; i < G * D; i += THREADS)
    query[i] = static_cast<float>(q_rows[i]) * __int_as_float(SCALE);
  if (thread < GP) { tops[thread] = -INFINITY; sums[thread] = 0.0f; }
  float mixed[G][2];
  _Pragma("unroll")
  for (int g = 0; g < G; ++g) mixed[g][0] = mixed[g][1] = 0.0f;
  const int pair = thread % (D / 2), group = thread / (D / 2);
  for (int base = begin; base < end; base += TILE) {
    asm volatile("cp.async.wait_group 1;");
    __syncthreads();
    {
      const int row = thread % TILE, share = thread / TILE;
      float dot[G];
      _Pragma("unroll")
      for (int g = 0; g < G; ++g) dot[g] = 0.0f;
      _Pragma("unroll 4")
      for (int c = share; c < CHUNKS; c += SHARES) {
        alignas(16) T part_of_key[8];
        *reinterpret_cast<uint4*>(part_of_key) =
            *reinterpret_cast<const uint4*>(keys + row * D + (c ^ (row % 8)) * 8);
        float key[8];
        _Pragma("unroll")
        for (int i = 0; i < 8; ++i) key[i] = static_cast<float>(part_of_key[i]);
        _Pragma("unroll")
        for (int g = 0; g < G; ++g) {
          const float4 a = *reinterpret_cast<const float4*>(query + g * D + c * 8);
          const float4 b = *reinterpret_cast<const float4*>(query + g * D + c * 8 + 4);
          dot[g] += a.x * key[0] + a.y * key[1] + a.z * key[2] + a.w * key[3] +
                    b.x * key[4] + b.y * key[5] + b.z * key[6] + b.w * key[7];
        }
      }
      _Pragma("unroll")
      for (int g = 0; g < G; ++g) scores[share][row][g] = dot[g];
    }
    __syncthreads();
    if (base + TILE < end) fetch(k_pool, keys, base + TILE, true);
    for (int g = warp; g < G; g += THREADS / 32) {
      float score[TILE / 32], best = -INFINITY;
      _Pragma("unroll")
      for (int i = 0; i < TILE / 32; ++i) {
        const int row = lane + 32 * i;
        float sum = 0.0f;
        _Pragma("unroll")
        for (int s = 0; s < SHARES; ++s) sum += scores[s][row][g];
        if (CAP != 0) sum = __int_as_float(CAP) * tanhf(sum / __int_as_float(CAP));
        score[i] = base + row < end ? sum : -INFINITY;
        best = fmaxf(best, score[i]);
      }
      for (int step = 16; step > 0; step /= 2) best = fmaxf(best, __shfl_xor_sync(0xffffffffu, best, step));
      best = fmaxf(best, tops[g]);
      float sum = 0.0f;
      _Pragma("unroll")
      for (int i = 0; i < TILE / 32; ++i) {
        const float weight = __expf(score[i] - best);
        weights[lane + 32 * i][g] = weight;
        sum += weight;
      }
      for (int step = 16; step > 0; step /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, step);
      if (lane == 0) {
        kept[g] = __expf(tops[g] - best);
        sums[g] = sums[g] * kept[g] + sum;
        tops[g] = best;
      }
      __syncwarp();
    }
    if (base + TILE < end) {
      asm volatile("cp.async.wait_group 1;");
    } else {
      asm volatile("cp.async.wait_group 0;");
    }
    __syncthreads();
    _Pragma("unroll")
    for (int g = 0; g < G; ++g) { mixed[g][0] *= kept[g]; mixed[g][1] *= kept[g]; }
    _Pragma("unroll 8")
    for (int row = group; row < TILE; row += GROUPS) {
      alignas(4) T two[2];
      *reinterpret_cast<unsigned*>(two) = *reinterpret_cast<const unsigned*>(values + row * D + pair * 2);
      const float a = static_cast<float>(two[0]), b = static_cast<float>(two[1]);
      float weight[GP];
      _Pragma("unroll")
      for (int g = 0; g < GP; g += 4)
        *reinterpret_cast<float4*>(weight + g) = *reinterpret_cast<const float4*>(&weights[row][g]);
      _Pragma("unroll")
      for (int g = 0; g < G; ++g) { mixed[g][0] += weight[g] * a; mixed[g][1] += weight[g] * b; }
    }
    __syncthreads();
    if (base + TILE < end) fetch(v_pool, values, base + TILE, false);
  }
  // The groups' shares are added in order, through the memory that the keys had.
  float* shares = reinterpret_cast<float*>(keys);
  const long out_base = (static_cast<long>(token) * H + kv_head * G) * splits + split;
  _Pragma("unroll")
  for (int g = 0; g < G; ++g) {
    __syncthreads();
    shares[group * D + pair * 2] = mixed[g][0];
    shares[group * D + pair * 2 + 1] = mixed[g][1];
    __syncthreads();
    const long at = out_base + static_cast<long>(g) * splits;
    for (int d = thread; d < D; d += THREADS) {
      float value = 0.0f;
      _Pragma("unroll")
      for (int s = 0; s < GROUPS; ++s) value += shares[s * D + d];
      part[at * D + d] = value;
    }
    if (thread == 0) { part_max[at] = tops[g]; part_sum[at] = sums[g]; }
  }
)";

// One block per (token, head): joins the splits that hold positions it sees, in order.
constexpr const char* kJoinSource = R"(
  const int splits = part_max_shape[1], position = positions[blockIdx.x];
  const long at = static_cast<long>(blockIdx.x) * gridDim.y + blockIdx.y;
  const int first = WINDOW > 0 ? max(0, position - WINDOW + 1) / SPLIT : 0, last = position / SPLIT;
  float best = -INFINITY, total = 0.0f, value = 0.0f;
  _Pragma("unroll 4")
  for (int s = first; s <= last; ++s) best = fmaxf(best, part_max[at * splits + s]);
  _Pragma("unroll 4")
  for (int s = first; s <= last; ++s) {
    const long i = at * splits + s;
    const float weight = __expf(part_max[i] - best);
    total += part_sum[i] * weight;
    value += part[i * D + threadIdx.x] * weight;
  }
  out[at * D + threadIdx.x] = static_cast<T>(value / total);
)";

// Constants of a model are template arguments, which are integers: an array for each would cost
// more than the kernel.
int bits(float value) { return std::bit_cast<int>(value); }

}  // namespace

bool attention_supported(const AttentionShape& shape) {
  const bool dims = shape.head_dim == 64 || shape.head_dim == 128 || shape.head_dim == 256;
  return dims && shape.heads % shape.kv_heads == 0 && shape.heads / shape.kv_heads <= 8;
}

mx::array rope_kv_write(const AttentionShape& shape, const mx::array& qkv, const StepArrays& step,
                        const mx::array& inv_freq, const mx::array* q_norm, const mx::array* k_norm,
                        const mx::array& k_pool, const mx::array& v_pool) {
  static const auto kernel = mx::fast::cuda_kernel(
      "pippin_rope_kv_write",
      {"qkv", "positions", "slots", "inv_freq", "q_norm", "k_norm", "k_pool", "v_pool"}, {"q"},
      kRopeSource);
  const bool normed = q_norm != nullptr;
  const mx::array& any =
      inv_freq;  // stands in for absent norm weights, which the kernel then does not read
  const int tokens = qkv.shape(0);
  const int all_heads = (shape.heads + 2 * shape.kv_heads + kThreads / 32 - 1) / (kThreads / 32);
  const std::vector<std::pair<std::string, mx::fast::TemplateArg>> args = {
      {"T", qkv.dtype()},        {"H", shape.heads},
      {"K", shape.kv_heads},     {"D", shape.head_dim},
      {"ROPE", shape.rope_dims}, {"INTERLEAVED", shape.rope_interleaved},
      {"NORM", normed},          {"NORM_EPS", bits(shape.norm_eps)}};
  return kernel({qkv, step.positions, step.slots, inv_freq, normed ? *q_norm : any,
                 normed ? *k_norm : any, k_pool, v_pool},
                {{tokens, shape.heads * shape.head_dim}}, {qkv.dtype()},
                {tokens * kThreads, all_heads, 1}, {kThreads, 1, 1}, args, std::nullopt, false,
                {})[0];
}

mx::array paged_attention(const AttentionShape& shape, const mx::array& q, const StepArrays& step,
                          const mx::array& k_pool, const mx::array& v_pool) {
  static const auto part_kernel = mx::fast::cuda_kernel(
      "pippin_attention_part", {"q", "positions", "token_row", "tables", "k_pool", "v_pool"},
      {"part", "part_max", "part_sum"}, kPartSource);
  static const auto join_kernel = mx::fast::cuda_kernel(
      "pippin_attention_join", {"part", "part_max", "part_sum", "positions"}, {"out"}, kJoinSource);
  CHECK(attention_supported(shape), "unsupported attention shape");
  const int tokens = q.shape(0), heads = shape.heads;
  const int splits = (step.tables.shape(1) * 16 + kSplit - 1) / kSplit;
  const std::vector<std::pair<std::string, mx::fast::TemplateArg>> args = {
      {"T", q.dtype()},
      {"H", heads},
      {"K", shape.kv_heads},
      {"D", shape.head_dim},
      {"SPLIT", kSplit},
      {"THREADS", kThreads},
      {"WINDOW", shape.window},
      {"SCALE", bits(shape.scale)},
      {"CAP", bits(shape.soft_cap)}};
  const std::vector<mx::array> parts = part_kernel(
      {q, step.positions, step.token_row, step.tables, k_pool, v_pool},
      {{tokens * heads, splits, shape.head_dim},
       {tokens * heads, splits},
       {tokens * heads, splits}},
      {mx::float32, mx::float32, mx::float32}, {tokens * kThreads, shape.kv_heads, splits},
      {kThreads, 1, 1}, args, std::nullopt, false, {});
  return join_kernel(
      {parts[0], parts[1], parts[2], step.positions}, {{tokens, heads * shape.head_dim}},
      {q.dtype()}, {tokens * shape.head_dim, heads, 1}, {shape.head_dim, 1, 1},
      {{"T", q.dtype()}, {"D", shape.head_dim}, {"SPLIT", kSplit}, {"WINDOW", shape.window}},
      std::nullopt, false, {})[0];
}

}  // namespace pippin::nn::cuda
