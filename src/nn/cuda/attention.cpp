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
constexpr int kThreads = 128;  // four warps, as the part kernel counts on

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

// One block per (token, KV head, split). The heads of a group are the rows of a 16-row product on
// the tensor cores. These are at least half idle; reading KV is what takes the time. Keys and
// values come into shared memory a tile at a time. The 16-byte chunks of row p are swizzled to
// chunk ^ (p % 8), so that eight rows are read without bank conflicts. Scores: a warp per share of
// the positions. Values: a warp per share of the dimensions. Source: PTX ISA, mma.m16n8k16 and
// ldmatrix.
constexpr const char* kPartSource = R"(
  constexpr int G = H / K, CHUNKS = D / 8, WARPS = 4;
  constexpr int TILE = D == 256 ? 32 : 64;             // positions
  constexpr int SCORE_TILES = TILE / 8 / WARPS;        // of eight positions, for each warp
  constexpr int VALUE_TILES = D / 8 / WARPS;           // of eight dimensions, for each warp
  constexpr int WEIGHTS_STRIDE = TILE + 8;
  __shared__ alignas(16) T keys[TILE * D];
  __shared__ alignas(16) T values[TILE * D];
  __shared__ alignas(16) T query[16 * D];
  __shared__ alignas(16) T weights[16 * WEIGHTS_STRIDE];
  __shared__ float scores[8][TILE];
  __shared__ float kept[8], tops[8], sums[8];
  const int token = blockIdx.x, kv_head = blockIdx.y, split = blockIdx.z, splits = gridDim.z;
  const int thread = threadIdx.x, warp = thread / 32, lane = thread % 32;
  const int position = positions[token];
  const int* table = tables + static_cast<long>(token_row[token]) * tables_shape[1];
  const int end = min((split + 1) * SPLIT, position + 1);
  const int begin = max(split * SPLIT, WINDOW > 0 ? position - WINDOW + 1 : 0);
  if (begin >= end) return;  // the combine kernel does not read it
  const auto shared_address = [](const T* at) { return static_cast<unsigned>(__cvta_generic_to_shared(at)); };
  const auto fetch = [&](const T* pool, T* to, int base) {
    _Pragma("unroll")
    for (int i = thread; i < TILE * CHUNKS; i += WARPS * 32) {
      const int row = i / CHUNKS, chunk = i % CHUNKS, at = min(base + row, end - 1);
      const long slot = static_cast<long>(table[at / 16]) * 16 + at % 16;
      const T* from = pool + (slot * K + kv_head) * D + chunk * 8;
      asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(
                       shared_address(to + row * D + (chunk ^ (row % 8)) * 8)),
                   "l"(from));
    }
    asm volatile("cp.async.commit_group;");
  };
  const auto multiply = [](float* sum, const unsigned* a, unsigned b0, unsigned b1) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
  };
  const auto load_rows = [&](unsigned* to, const T* at) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(shared_address(at)));
  };
  fetch(k_pool, keys, begin);
  fetch(v_pool, values, begin);
  // Rows beyond the group repeat its last: what comes of them is not looked at.
  const T* q_rows = q + (static_cast<long>(token) * H + kv_head * G) * D;
  for (int i = thread; i < 16 * CHUNKS; i += WARPS * 32) {
    const int row = i / CHUNKS, chunk = i % CHUNKS;
    *reinterpret_cast<uint4*>(query + row * D + (chunk ^ (row % 8)) * 8) =
        *reinterpret_cast<const uint4*>(q_rows + min(row, G - 1) * D + chunk * 8);
  }
  for (int i = thread; i < 16 * WEIGHTS_STRIDE; i += WARPS * 32) weights[i] = static_cast<T>(0.0f);
  if (thread < 8) { tops[thread] = -INFINITY; sums[thread] = 0.0f; kept[thread] = 1.0f; }
  float mixed[VALUE_TILES][4];
  _Pragma("unroll")
  for (int j = 0; j < VALUE_TILES; ++j) mixed[j][0] = mixed[j][1] = mixed[j][2] = mixed[j][3] = 0.0f;
  const int head = lane / 4;  // of this thread's results
  for (int base = begin; base < end; base += TILE) {
    asm volatile("cp.async.wait_group 1;");
    __syncthreads();
    float sum[SCORE_TILES][4];
    _Pragma("unroll")
    for (int j = 0; j < SCORE_TILES; ++j) sum[j][0] = sum[j][1] = sum[j][2] = sum[j][3] = 0.0f;
    _Pragma("unroll")
    for (int k = 0; k < D / 16; ++k) {
      unsigned a[4];
      const int row = lane % 16;
      load_rows(a, query + row * D + ((2 * k + lane / 16) ^ (row % 8)) * 8);
      _Pragma("unroll")
      for (int j = 0; j < SCORE_TILES; ++j) {
        const int at = (warp * SCORE_TILES + j) * 8 + lane % 8;
        unsigned b0, b1;
        asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0, %1}, [%2];"
                     : "=r"(b0), "=r"(b1)
                     : "r"(shared_address(keys + at * D + ((2 * k + lane / 8 % 2) ^ (at % 8)) * 8)));
        multiply(sum[j], a, b0, b1);
      }
    }
    _Pragma("unroll")
    for (int j = 0; j < SCORE_TILES; ++j) {
      const int at = (warp * SCORE_TILES + j) * 8 + lane % 4 * 2;
      scores[head][at] = sum[j][0];
      scores[head][at + 1] = sum[j][1];
    }
    __syncthreads();
    if (base + TILE < end) fetch(k_pool, keys, base + TILE);
    for (int g = warp; g < G; g += WARPS) {
      float score[TILE / 32], best = -INFINITY;
      _Pragma("unroll")
      for (int i = 0; i < TILE / 32; ++i) {
        const int row = lane + 32 * i;
        float value = scores[g][row] * __int_as_float(SCALE);
        if (CAP != 0) value = __int_as_float(CAP) * tanhf(value / __int_as_float(CAP));
        score[i] = base + row < end ? value : -INFINITY;
        best = fmaxf(best, score[i]);
      }
      for (int step = 16; step > 0; step /= 2) best = fmaxf(best, __shfl_xor_sync(0xffffffffu, best, step));
      best = fmaxf(best, tops[g]);
      float total = 0.0f;
      _Pragma("unroll")
      for (int i = 0; i < TILE / 32; ++i) {
        const T weight = static_cast<T>(__expf(score[i] - best));
        weights[g * WEIGHTS_STRIDE + lane + 32 * i] = weight;
        total += static_cast<float>(weight);
      }
      for (int step = 16; step > 0; step /= 2) total += __shfl_xor_sync(0xffffffffu, total, step);
      if (lane == 0) {
        kept[g] = __expf(tops[g] - best);
        sums[g] = sums[g] * kept[g] + total;
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
    const float keep = kept[head];
    _Pragma("unroll")
    for (int j = 0; j < VALUE_TILES; ++j) { mixed[j][0] *= keep; mixed[j][1] *= keep; }
    _Pragma("unroll")
    for (int k = 0; k < TILE / 16; ++k) {
      unsigned a[4];
      load_rows(a, weights + lane % 16 * WEIGHTS_STRIDE + k * 16 + lane / 16 * 8);
      _Pragma("unroll")
      for (int j = 0; j < VALUE_TILES; j += 2) {
        const int row = k * 16 + lane % 16, chunk = warp * VALUE_TILES + j + lane / 16;
        unsigned b[4];
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                     : "=r"(b[0]), "=r"(b[1]), "=r"(b[2]), "=r"(b[3])
                     : "r"(shared_address(values + row * D + (chunk ^ (row % 8)) * 8)));
        multiply(mixed[j], a, b[0], b[1]);
        multiply(mixed[j + 1], a, b[2], b[3]);
      }
    }
    __syncthreads();
    if (base + TILE < end) fetch(v_pool, values, base + TILE);
  }
  if (head >= G) return;
  const long at = (static_cast<long>(token) * H + kv_head * G + head) * splits + split;
  _Pragma("unroll")
  for (int j = 0; j < VALUE_TILES; ++j) {
    const int d = (warp * VALUE_TILES + j) * 8 + lane % 4 * 2;
    *reinterpret_cast<float2*>(part + at * D + d) = make_float2(mixed[j][0], mixed[j][1]);
  }
  if (warp == 0 && lane % 4 == 0) { part_max[at] = tops[head]; part_sum[at] = sums[head]; }
)";

// One block per (token, head): combines the splits that hold positions it sees, in order.
constexpr const char* kCombineSource = R"(
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
  static const auto combine_kernel =
      mx::fast::cuda_kernel("pippin_attention_combine",
                            {"part", "part_max", "part_sum", "positions"}, {"out"}, kCombineSource);
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
  return combine_kernel(
      {parts[0], parts[1], parts[2], step.positions}, {{tokens, heads * shape.head_dim}},
      {q.dtype()}, {tokens * shape.head_dim, heads, 1}, {shape.head_dim, 1, 1},
      {{"T", q.dtype()}, {"D", shape.head_dim}, {"SPLIT", kSplit}, {"WINDOW", shape.window}},
      std::nullopt, false, {})[0];
}

}  // namespace pippin::nn::cuda
