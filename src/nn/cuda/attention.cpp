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

// One block per token; a warp per head. Rotates q and k, and scatters k and v into their slots.
constexpr const char* kRopeSource = R"(
  constexpr int kAll = H + 2 * K;
  constexpr int kHalf = ROPE / 2;
  const int token = blockIdx.x, lane = threadIdx.x % 32;
  const float position = static_cast<float>(positions[token]);
  const long slot = slots[token];
  T* k_write = const_cast<T*>(k_pool);
  T* v_write = const_cast<T*>(v_pool);
  for (int head = threadIdx.x / 32; head < kAll; head += blockDim.x / 32) {
    const T* source = qkv + (static_cast<long>(token) * kAll + head) * D;
    if (head >= H + K) {
      for (int i = lane; i < D; i += 32) v_write[(slot * K + head - H - K) * D + i] = source[i];
      continue;
    }
    T* target = head < H ? q + (static_cast<long>(token) * H + head) * D : k_write + (slot * K + head - H) * D;
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
  }
)";

// One block per (token, KV head, split). LANES threads read one position, eight values each; the
// heads of a group share the read.
constexpr const char* kPartSource = R"(
  constexpr int G = H / K, LANES = D / 8, GROUPS = 128 / LANES, UNROLL = 4;
  const int token = blockIdx.x, kv_head = blockIdx.y, split = blockIdx.z, splits = gridDim.z;
  const int group = threadIdx.x / LANES, lane = threadIdx.x % LANES;
  const int position = positions[token];
  const int* table = tables + static_cast<long>(token_row[token]) * tables_shape[1];
  const int end = min((split + 1) * SPLIT, position + 1);
  const int begin = max(split * SPLIT, WINDOW > 0 ? position - WINDOW + 1 : 0);
  const long out_base = (static_cast<long>(token) * H + kv_head * G) * splits + split;
  if (begin >= end) {
    if (threadIdx.x < G) {
      part_max[out_base + threadIdx.x * splits] = -INFINITY;
      part_sum[out_base + threadIdx.x * splits] = 0.0f;
    }
    return;
  }
  float query[G][8], top[G], sum[G], mixed[G][8];
  _Pragma("unroll")
  for (int g = 0; g < G; ++g) {
    const T* from = q + (static_cast<long>(token) * H + kv_head * G + g) * D + lane * 8;
    _Pragma("unroll")
    for (int i = 0; i < 8; ++i) {
      query[g][i] = static_cast<float>(from[i]) * __int_as_float(SCALE);
      mixed[g][i] = 0.0f;
    }
    top[g] = -INFINITY;
    sum[g] = 0.0f;
  }
  for (int base = begin; base < end; base += GROUPS * UNROLL) {
    alignas(16) T key[UNROLL][8];
    alignas(16) T value[UNROLL][8];
    bool valid[UNROLL];
    _Pragma("unroll")
    for (int u = 0; u < UNROLL; ++u) {
      const int p = base + u * GROUPS + group;
      valid[u] = p < end;
      const int at = valid[u] ? p : begin;
      const long slot = static_cast<long>(table[at / 16]) * 16 + at % 16;
      const long from = (slot * K + kv_head) * D + lane * 8;
      *reinterpret_cast<uint4*>(key[u]) = *reinterpret_cast<const uint4*>(k_pool + from);
      *reinterpret_cast<uint4*>(value[u]) = *reinterpret_cast<const uint4*>(v_pool + from);
    }
    _Pragma("unroll")
    for (int g = 0; g < G; ++g) {
      float score[UNROLL], best = top[g];
      _Pragma("unroll")
      for (int u = 0; u < UNROLL; ++u) {
        float dot = 0.0f;
        _Pragma("unroll")
        for (int i = 0; i < 8; ++i) dot += query[g][i] * static_cast<float>(key[u][i]);
        _Pragma("unroll")
        for (int step = LANES / 2; step > 0; step /= 2) dot += __shfl_xor_sync(0xffffffffu, dot, step);
        if (CAP != 0) dot = __int_as_float(CAP) * tanhf(dot / __int_as_float(CAP));
        score[u] = valid[u] ? dot : -INFINITY;
        best = fmaxf(best, score[u]);
      }
      if (best == -INFINITY) continue;
      const float keep = __expf(top[g] - best);
      top[g] = best;
      sum[g] *= keep;
      _Pragma("unroll")
      for (int i = 0; i < 8; ++i) mixed[g][i] *= keep;
      _Pragma("unroll")
      for (int u = 0; u < UNROLL; ++u) {
        const float weight = __expf(score[u] - best);
        sum[g] += weight;
        _Pragma("unroll")
        for (int i = 0; i < 8; ++i) mixed[g][i] += weight * static_cast<float>(value[u][i]);
      }
    }
  }
  __shared__ float shared_mixed[GROUPS][D];
  __shared__ float shared_top[GROUPS], shared_sum[GROUPS];
  _Pragma("unroll")
  for (int g = 0; g < G; ++g) {
    __syncthreads();
    if (lane == 0) { shared_top[group] = top[g]; shared_sum[group] = sum[g]; }
    _Pragma("unroll")
    for (int i = 0; i < 8; ++i) shared_mixed[group][lane * 8 + i] = mixed[g][i];
    __syncthreads();
    float best = -INFINITY, total = 0.0f;
    _Pragma("unroll")
    for (int s = 0; s < GROUPS; ++s) best = fmaxf(best, shared_top[s]);
    _Pragma("unroll")
    for (int s = 0; s < GROUPS; ++s) total += shared_sum[s] * __expf(shared_top[s] - best);
    const long at = out_base + static_cast<long>(g) * splits;
    for (int d = threadIdx.x; d < D; d += blockDim.x) {
      float value = 0.0f;
      _Pragma("unroll")
      for (int s = 0; s < GROUPS; ++s) value += shared_mixed[s][d] * __expf(shared_top[s] - best);
      part[at * D + d] = value;
    }
    if (threadIdx.x == 0) { part_max[at] = best; part_sum[at] = total; }
  }
)";

// One block per (token, head): joins the splits in order.
constexpr const char* kJoinSource = R"(
  const long at = blockIdx.x;
  const int splits = part_max_shape[1];
  float best = -INFINITY, total = 0.0f;
  for (int s = 0; s < splits; ++s) best = fmaxf(best, part_max[at * splits + s]);
  for (int s = 0; s < splits; ++s) total += part_sum[at * splits + s] * __expf(part_max[at * splits + s] - best);
  for (int d = threadIdx.x; d < D; d += blockDim.x) {
    float value = 0.0f;
    for (int s = 0; s < splits; ++s) {
      const long i = at * splits + s;
      if (part_sum[i] > 0.0f) value += part[i * D + d] * __expf(part_max[i] - best);
    }
    out[at * D + d] = static_cast<T>(value / total);
  }
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
  const std::vector<std::pair<std::string, mx::fast::TemplateArg>> args = {
      {"T", qkv.dtype()},        {"H", shape.heads},
      {"K", shape.kv_heads},     {"D", shape.head_dim},
      {"ROPE", shape.rope_dims}, {"INTERLEAVED", shape.rope_interleaved},
      {"NORM", normed},          {"NORM_EPS", bits(shape.norm_eps)}};
  return kernel({qkv, step.positions, step.slots, inv_freq, normed ? *q_norm : any,
                 normed ? *k_norm : any, k_pool, v_pool},
                {{tokens, shape.heads * shape.head_dim}}, {qkv.dtype()}, {tokens * kThreads, 1, 1},
                {kThreads, 1, 1}, args, std::nullopt, false, {})[0];
}

mx::array paged_attention(const AttentionShape& shape, const mx::array& q, const StepArrays& step,
                          const mx::array& k_pool, const mx::array& v_pool) {
  static const auto part_kernel = mx::fast::cuda_kernel(
      "pippin_attention_part", {"q", "positions", "token_row", "tables", "k_pool", "v_pool"},
      {"part", "part_max", "part_sum"}, kPartSource);
  static const auto join_kernel = mx::fast::cuda_kernel(
      "pippin_attention_join", {"part", "part_max", "part_sum"}, {"out"}, kJoinSource);
  CHECK(attention_supported(shape), "unsupported attention shape");
  const int tokens = q.shape(0), heads = shape.heads;
  const int splits = (step.tables.shape(1) * 16 + kSplit - 1) / kSplit;
  const std::vector<std::pair<std::string, mx::fast::TemplateArg>> args = {
      {"T", q.dtype()},
      {"H", heads},
      {"K", shape.kv_heads},
      {"D", shape.head_dim},
      {"SPLIT", kSplit},
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
  return join_kernel({parts[0], parts[1], parts[2]}, {{tokens, heads * shape.head_dim}},
                     {q.dtype()}, {tokens * heads * shape.head_dim, 1, 1}, {shape.head_dim, 1, 1},
                     {{"T", q.dtype()}, {"D", shape.head_dim}}, std::nullopt, false, {})[0];
}

}  // namespace pippin::nn::cuda
