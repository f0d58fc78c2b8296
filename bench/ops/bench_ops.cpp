// bench_ops: times the CPU kernels one by one and prints a JSON line each, beside the machine's
// measured ceilings. Usage: bench_ops [--isa NAME] [--threads N] [--seconds S] [--only TEXT]
// [--rows M,M,...]
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "base/float_formats.h"
#include "base/thread_pool.h"
#include "nn/cpu/attention.h"
#include "nn/cpu/experts.h"
#include "nn/cpu/kernels.h"
#include "nn/cpu/linear.h"
#include "nn/cpu/packed_linear.h"
#include "ops/bench.h"

namespace pippin::nn::cpu {
namespace {

struct Format {
  const char* name;
  TensorType type;
  int columns;            // of a block or an affine group
  int bytes;              // of both, with scales
  int affine_floats = 0;  // of them, bytes of scale and bias that lie apart
};
constexpr Format kQ4_0{"Q4_0", TensorType::kQ4_0, 32, 18};
constexpr Format kQ4_1{"Q4_1", TensorType::kQ4_1, 32, 20};
constexpr Format kQ5_0{"Q5_0", TensorType::kQ5_0, 32, 22};
constexpr Format kQ8_0{"Q8_0", TensorType::kQ8_0, 32, 34};
constexpr Format kQ4_K{"Q4_K", TensorType::kQ4_K, 256, 144};
constexpr Format kQ5_K{"Q5_K", TensorType::kQ5_K, 256, 176};
constexpr Format kQ6_K{"Q6_K", TensorType::kQ6_K, 256, 210};
constexpr Format kF16{"F16", TensorType::kF16, 1, 2};
constexpr Format kAffine4{"affine4", TensorType::kAffine4, 64, 36, 4};
constexpr Format kAffine8{"affine8", TensorType::kAffine8, 64, 68, 4};

struct LinearCase {
  const char* name;
  Format format;
  int64_t n, k;
};

// The layers of SmolLM2-135M and Qwen2.5-1.5B, and one matrix in the other formats.
const LinearCase kLinearCases[] = {
    {"smol.qkv", kQ4_1, 960, 576},        {"smol.o", kQ4_1, 576, 576},
    {"smol.gate_up", kQ4_1, 3072, 576},   {"smol.down", kQ4_1, 576, 1536},
    {"smol.head", kQ8_0, 49152, 576},     {"qwen.qkv", kQ4_K, 2048, 1536},
    {"qwen.o", kQ4_K, 1536, 1536},        {"qwen.gate_up", kQ4_K, 17920, 1536},
    {"qwen.down", kQ6_K, 1536, 8960},     {"qwen.head", kQ6_K, 151936, 1536},
    {"other", kQ4_0, 4096, 2048},         {"other", kQ5_0, 4096, 2048},
    {"other", kQ5_K, 4096, 2048},         {"other", kQ8_0, 4096, 2048},
    {"other", kF16, 4096, 2048},          {"smol.gate_up", kAffine4, 3072, 576},
    {"smol.down", kAffine4, 576, 1536},   {"qwen.gate_up", kAffine4, 17920, 1536},
    {"qwen.gate_up", kQ4_1, 17920, 1536}, {"other", kAffine4, 4096, 2048},
    {"other", kAffine8, 4096, 2048},      {"other", kQ4_1, 4096, 2048},
};

// Random rows as a model file holds them.
struct FileRows {
  FileRows(const Format& of, int64_t rows, int64_t k, uint32_t seed) : format(of), n(rows) {
    std::mt19937 random(seed);
    const auto groups = static_cast<size_t>(n * (k / format.columns));
    const auto floats = static_cast<size_t>(format.affine_floats);
    bytes.resize(groups * (static_cast<size_t>(format.bytes) - floats));
    for (std::byte& b : bytes) b = static_cast<std::byte>(random());
    for (size_t i = 1; i < bytes.size(); i += 2)
      bytes[i] &= std::byte{0x33};  // no f16 scale is infinite or NaN
    scales.assign(groups * floats / 2, std::byte{0x33});
  }
  PackedLinear::Part part() const {
    const QuantisationParameters affine{.group = format.columns,
                                        .scale_type = TensorType::kBF16,
                                        .scales = scales,
                                        .biases = scales};
    return {format.type, bytes, n, affine};
  }

  Format format;
  int64_t n;
  std::vector<std::byte> bytes, scales;
};

// Copies of a matrix, so that a small one is not timed in cache: a model reads all its layers
// before it returns to the first.
struct Weights {
  std::vector<PackedLinear> copies;
  size_t bytes_of_one;
};

Weights make_weights(const LinearCase& c, const Options& options, ThreadPool& pool) {
  const FileRows rows(c.format, c.n, c.k, 1);
  const PackedLinear::Part part = rows.part();
  Weights out{{}, 0};
  constexpr size_t kBeyondCache = size_t{200} << 20;
  WeightArena arena;
  do {
    out.copies.push_back(PackedLinear::pack({&part, 1}, c.k, options.isa, pool, &arena).value());
    out.bytes_of_one = out.copies.back().bytes();
  } while (out.bytes_of_one * out.copies.size() < kBeyondCache && out.copies.size() < 640);
  return out;
}

void bench_linear(const LinearCase& c, const Options& options, ThreadPool& pool) {
  const Weights weights = make_weights(c, options, pool);
  LinearScratch scratch;
  const int64_t rows_most = *std::max_element(options.rows.begin(), options.rows.end());
  std::vector<float> x(static_cast<size_t>(rows_most * c.k));
  std::vector<float> y(static_cast<size_t>(rows_most * c.n));
  std::mt19937 random(2);
  std::normal_distribution<float> normal;
  for (float& v : x) v = normal(random);
  for (int64_t m : options.rows) {
    if (m > 16 && c.n > 40000) continue;  // a head sees few rows
    // Each call is timed alone and takes the next copy: short enough to fit between the neighbours'
    // time slices.
    size_t next = 0;
    const double seconds = best_seconds(options, [&] {
      linear(weights.copies[next++ % weights.copies.size()], x.data(), m, nullptr, y.data(),
             scratch, pool);
    });
    const double bytes = static_cast<double>(weights.bytes_of_one);
    std::printf(
        "{\"op\":\"linear\",\"name\":\"%s\",\"type\":\"%s\",\"n\":%lld,\"k\":%lld,\"m\":%lld,"
        "\"threads\":%d,\"isa\":\"%s\",\"us\":%.1f,"
        "\"gb_s\":%.1f,\"gmac_s\":%.1f,\"file_ratio\":%.3f}\n",
        c.name, c.format.name, static_cast<long long>(c.n), static_cast<long long>(c.k),
        static_cast<long long>(m), pool.threads(), isa_name(options.isa), seconds * 1e6,
        bytes / seconds * 1e-9,
        static_cast<double>(m * c.n) * static_cast<double>(c.k) / seconds * 1e-9,
        bytes / (static_cast<double>(c.n) * static_cast<double>(c.k) / c.format.columns *
                 c.format.bytes));
    std::fflush(stdout);
  }
}

struct ExpertsCase {
  const char* name;
  Format format;
  int count, used;
  int64_t inner, k;
};

// The layers of OLMoE-1B-7B and Qwen3-30B-A3B; small experts of other formats.
const ExpertsCase kExpertsCases[] = {
    {"olmoe", kQ4_K, 64, 8, 1024, 2048},  {"qwen3moe", kQ4_K, 128, 8, 768, 2048},
    {"granite", kQ4_K, 32, 8, 512, 1024}, {"granite", kQ8_0, 32, 8, 512, 1024},
    {"granite", kQ4_0, 32, 8, 512, 1024}, {"granite", kAffine4, 32, 8, 512, 1024},
};

// Tokens choose experts at random, others at each call.
void bench_experts(const ExpertsCase& c, const Options& options, ThreadPool& pool) {
  const FileRows half(c.format, c.inner, c.k, 1), last(c.format, c.k, c.inner, 2);
  const PackedLinear::Part first[] = {half.part(), half.part()}, second[] = {last.part()};
  std::vector<PackedLinear> up, down;
  WeightArena arena;
  for (int e = 0; e < c.count; ++e) {
    up.push_back(
        PackedLinear::pack(first, c.k, options.isa, pool, &arena, PackedLinear::Order::kInterleaved)
            .value());
    down.push_back(PackedLinear::pack(second, c.inner, options.isa, pool, &arena).value());
  }
  const size_t expert_bytes = up.front().bytes() + down.front().bytes();
  const ExpertLayer layer{.up = up, .down = down};
  LinearScratch scratch;
  std::mt19937 random(3);
  std::normal_distribution<float> normal;
  for (const int64_t m : options.rows) {
    std::vector<float> x(static_cast<size_t>(m * c.k)), y(x.size());
    for (float& v : x) v = normal(random);
    const auto used = static_cast<size_t>(c.used);
    std::vector<int32_t> chosen(static_cast<size_t>(m) * used), all(static_cast<size_t>(c.count));
    const std::vector<float> weights(chosen.size(), 0.1f);
    size_t read = 0, calls = 0;
    const auto choose = [&] {
      std::iota(all.begin(), all.end(), 0);
      std::vector<bool> hit(all.size());
      for (size_t t = 0; t < static_cast<size_t>(m); ++t) {
        std::shuffle(all.begin(), all.end(), random);
        std::copy_n(all.begin(), used, chosen.begin() + static_cast<ptrdiff_t>(t * used));
        for (size_t r = 0; r < used; ++r) hit[static_cast<size_t>(all[r])] = true;
      }
      read += static_cast<size_t>(std::count(hit.begin(), hit.end(), true));
      ++calls;
    };
    const double seconds = best_seconds(options, choose, [&] {
      experts(layer, {m, c.used, chosen.data(), weights.data()}, x.data(), y.data(), scratch, pool);
    });
    const double macs = 3.0 * static_cast<double>(m * c.used) * static_cast<double>(c.inner) *
                        static_cast<double>(c.k);
    const double hits = static_cast<double>(read) / static_cast<double>(calls);
    std::printf(
        "{\"op\":\"experts\",\"name\":\"%s\",\"type\":\"%s\",\"experts\":%d,\"used\":%d,"
        "\"inner\":%lld,\"k\":%lld,\"m\":%lld,\"read\":%.1f,\"threads\":%d,\"isa\":\"%s\","
        "\"us\":%.1f,\"gb_s\":%.1f,\"gmac_s\":%.1f}\n",
        c.name, c.format.name, c.count, c.used, static_cast<long long>(c.inner),
        static_cast<long long>(c.k), static_cast<long long>(m), hits, pool.threads(),
        isa_name(options.isa), seconds * 1e6,
        hits * static_cast<double>(expert_bytes) / seconds * 1e-9, macs / seconds * 1e-9);
    std::fflush(stdout);
  }
}

struct AttentionCase {
  const char* name;
  int heads, kv_heads, head_dim;
};

// `layers`: how many take turns. With several that are more than the caches hold, each call finds
// its KV in memory, as a model does.
void bench_attention(const AttentionCase& c, KvType type, int sequences, int tokens, int start,
                     int layers, const Options& options, ThreadPool& pool) {
  const int blocks_each = (start + tokens + 15) / 16;
  KvLayer kv{.kv_heads = c.kv_heads, .head_dim = c.head_dim, .type = type};
  const auto layer_bytes = static_cast<size_t>(sequences * blocks_each * kv.block_bytes());
  // Bytes of which any two are a harmless f16 number.
  std::vector<uint8_t> k(static_cast<size_t>(layers) * layer_bytes, 0x2e);
  std::vector<uint8_t> v(k.size(), 0x2f);
  std::vector<int32_t> table;
  for (int b = 0; b < sequences * blocks_each; ++b) table.push_back(b);
  std::vector<AttentionRow> rows;
  for (int s = 0; s < sequences; ++s)
    rows.push_back({s * tokens, tokens, start, table.data() + s * blocks_each});
  std::vector<float> q(static_cast<size_t>(sequences * tokens * c.heads * c.head_dim), 0.1f);
  std::vector<float> out(q.size());
  const AttentionArgs args{.q = q.data(),
                           .heads = c.heads,
                           .scale = 0.1f,
                           .rows = rows,
                           .window = 0,
                           .soft_cap = 0,
                           .sinks = nullptr,
                           .out = out.data()};
  size_t layer = 0;
  const double seconds = best_seconds(options, [&] {
    kv.k = k.data() + layer * layer_bytes;
    kv.v = v.data() + layer * layer_bytes;
    layer = (layer + 1) % static_cast<size_t>(layers);
    paged_attention(kernels(options.isa), args, kv, pool);
  });
  const double pairs = static_cast<double>(sequences) * tokens * (start + (tokens + 1) / 2.0);
  const double macs = 2 * pairs * c.heads * c.head_dim;
  const double bytes = static_cast<double>(sequences) * (start + tokens) *
                       static_cast<double>(2 * kv.block_bytes()) / KvLayer::kBlock;
  std::printf(
      "{\"op\":\"attention\",\"name\":\"%s\",\"kv\":\"%s\",\"sequences\":%d,\"tokens\":%d,"
      "\"start\":%d,\"layers\":%d,"
      "\"threads\":%d,\"isa\":\"%s\",\"us\":%.1f,\"gb_s\":%.1f,"
      "\"gmac_s\":%.1f}\n",
      c.name, kv_type_name(type).data(), sequences, tokens, start, layers, pool.threads(),
      isa_name(options.isa), seconds * 1e6, bytes / seconds * 1e-9, macs / seconds * 1e-9);
  std::fflush(stdout);
}

void bench_norm_rope(int64_t tokens, int64_t dim, int64_t ff, const Options& options,
                     ThreadPool& pool) {
  std::vector<float> x(static_cast<size_t>(tokens * 2 * ff), 0.5f);
  std::vector<float> add(x.size(), 0.1f);
  std::vector<float> weight(static_cast<size_t>(dim), 1.0f);
  std::vector<float> out(x.size());
  const Kernels& path = kernels(options.isa);
  const auto print = [&](const char* op, int64_t width, double seconds) {
    std::printf(
        "{\"op\":\"%s\",\"tokens\":%lld,\"dim\":%lld,\"threads\":%d,\"isa\":\"%s\",\"us\":%.2f}\n",
        op, static_cast<long long>(tokens), static_cast<long long>(width), pool.threads(),
        isa_name(options.isa), seconds * 1e6);
    std::fflush(stdout);
  };
  print("rms_norm", dim, best_seconds(options, [&] {
          rms_norm(path, x.data(), add.data(), weight.data(), 1e-5f, tokens, dim, out.data(), pool);
        }));
  std::fill(x.begin(), x.end(), 0.5f);
  print("silu", ff, best_seconds(options, [&] {  // on one thread
          path.norm_rope.silu(x.data(), x.data() + tokens * ff, tokens * ff, out.data());
        }));
}

constexpr AffineLayout kAffineLayout{.groups = 2, .floats = TensorType::kBF16};

// ---- ceilings ----

void bench_ceilings(const Options& options) {
  constexpr size_t kBytes = size_t{256} << 20;
  WeightArena arena;
  const std::shared_ptr<uint8_t> memory = arena.take(kBytes);  // in huge pages, as weights are
  auto* words = reinterpret_cast<uint64_t*>(memory.get());
  for (size_t i = 0; i < kBytes / 8; ++i) words[i] = i;
  for (int threads = 1; threads <= options.threads; threads *= 2) {
    ThreadPool pool(threads);
    constexpr int kTasks = 256;
    constexpr size_t kWords = kBytes / 8 / kTasks;
    std::vector<uint64_t> sums(kTasks);
    const Times seconds = call_seconds(options, [&] {
      pool.run(kTasks, [&](int task, int) {
        uint64_t lanes[16] = {};
        const uint64_t* from = words + static_cast<size_t>(task) * kWords;
        for (size_t i = 0; i < kWords; i += 16) {
          for (size_t j = 0; j < 16; ++j) lanes[j] ^= from[i + j];
        }
        for (uint64_t lane : lanes) sums[static_cast<size_t>(task)] ^= lane;
      });
    });
    // The median is what a program's median of the same minute stands beside.
    std::printf("{\"op\":\"read\",\"threads\":%d,\"gb_s\":%.1f,\"gb_s_median\":%.1f}\n", threads,
                static_cast<double>(kBytes) / seconds.best * 1e-9,
                static_cast<double>(kBytes) / seconds.median * 1e-9);
    std::fflush(stdout);
  }
}

// The kernels alone: one tile that stays in the first-level cache, on one thread. What a layer
// reaches beside this is what memory and the cutting of the work cost.
void bench_tiles(const TensorFormat& c, const Options& options) {
  const LinearKernels& path = kernels(options.isa).linear;
  const int type = static_cast<int>(c.type);
  constexpr int64_t kGroups = 16;
  const TileFormat format = tile_format(c.type, kAffineLayout);
  const size_t planes = static_cast<size_t>(kGroups * format.group_plane_bytes());
  const size_t scales =
      static_cast<size_t>(kGroups / format.groups_per_block() * format.block_scale_bytes());
  std::vector<uint8_t> weights(planes + scales);
  std::vector<ActGroup> x(static_cast<size_t>(kGroups * kRowsMax));
  std::vector<ActGroupPair> group_pairs(static_cast<size_t>(kGroups / 2 * kRowsMax));
  std::vector<ActSubBlocks16> sub_blocks(static_cast<size_t>(kGroups / 2 * kRowsMax));
  std::vector<BlockSums> sums(static_cast<size_t>(kGroups / kSuperGroups * kRowsMax));
  const std::vector<float> xf(static_cast<size_t>(kGroups * kGroup * kRowsMax));
  const TileView view{weights.data(), weights.data() + planes, kAffineLayout, codebook_of(c.type)};
  for (const int rows : {1, 2, 4, 8, 16, 64, kRowsMax}) {
    alignas(64) float out[kRowsMax * kTileRows] = {};
    const auto print = [&](const char* activations, double seconds) {
      std::printf(
          "{\"op\":\"tile\",\"type\":\"%s\",\"m\":%d,\"activations\":\"%s\",\"isa\":\"%s\","
          "\"gb_s\":%.1f,\"gmac_s\":%.1f}\n",
          c.name.data(), rows, activations, isa_name(options.isa),
          100.0 * static_cast<double>(planes + scales) / seconds * 1e-9,
          100.0 * kGroups * kGroup * kTileRows * rows / seconds * 1e-9);
      std::fflush(stdout);
    };
    if (const TileKernel tile = path.tile[type][rows]; tile != nullptr) {
      print("int8", best_seconds(options, [&] {
              for (int i = 0; i < 100; ++i) {
                tile(view, kGroups,
                     {x.data(), group_pairs.data(), sub_blocks.data(), sums.data(), rows}, out,
                     kTileRows);
              }
            }));
    }
    if (const TileKernelF32 tile = path.tile_f32[type][rows]; tile != nullptr) {
      print("f32", best_seconds(options, [&] {
              for (int i = 0; i < 100; ++i) {
                tile(view, kGroups * kGroup, xf.data(), rows, out, kTileRows);
              }
            }));
    }
  }
}

bool wanted(const Options& options, const std::string& name) {
  return options.only.empty() || name.find(options.only) != std::string::npos;
}

void run(const Options& options) {
  ThreadPool pool(options.threads);
  if (wanted(options, "ceilings")) bench_ceilings(options);
  for (const TensorFormat& c : kTensorFormats) {
    if (wanted(options, "tile." + std::string(c.name))) bench_tiles(c, options);
  }
  for (const LinearCase& c : kLinearCases) {
    if (wanted(options, std::string("linear.") + c.name + "." + c.format.name))
      bench_linear(c, options, pool);
  }
  for (const ExpertsCase& c : kExpertsCases) {
    if (wanted(options, std::string("experts.") + c.name + "." + c.format.name))
      bench_experts(c, options, pool);
  }
  for (const AttentionCase& c : {AttentionCase{"smol", 9, 3, 64}, AttentionCase{"qwen", 12, 2, 128},
                                 AttentionCase{"gemma", 4, 1, 256}}) {
    if (!wanted(options, std::string("attention.") + c.name)) continue;
    for (const KvType type : {KvType::kF16, KvType::kInt8}) {
      bench_attention(c, type, 1, 1, 255, 1, options, pool);
      for (const int layers : {1, 32}) {
        bench_attention(c, type, 1, 1, 4095, layers, options, pool);
        bench_attention(c, type, 16, 1, 511, layers, options, pool);
      }
      bench_attention(c, type, 1, 512, 0, 1, options, pool);
    }
  }
  if (wanted(options, "recurrent")) bench_recurrent(options, pool);
  if (wanted(options, "latent"))
    for (const int tokens : {1, 16}) bench_latent(tokens, options, pool);
  if (wanted(options, "norm_rope")) {
    for (int64_t tokens : {1, 16, 512}) bench_norm_rope(tokens, 576, 1536, options, pool);
    for (int64_t tokens : {1, 16, 512}) bench_norm_rope(tokens, 1536, 8960, options, pool);
  }
}

std::vector<int64_t> numbers(const char* text) {
  std::vector<int64_t> out;
  for (const char* at = text; *at != '\0';) {
    char* end = nullptr;
    out.push_back(std::max(1L, std::strtol(at, &end, 10)));
    at = *end == ',' ? end + 1 : end;
    if (end == at && *end != '\0') break;
  }
  return out;
}

}  // namespace
}  // namespace pippin::nn::cpu

int main(int argc, char** argv) {
  using namespace pippin::nn::cpu;
  Options options;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string flag = argv[i];
    if (flag == "--isa") setenv("PIPPIN_CPU_ISA", argv[i + 1], 1);
    if (flag == "--threads") options.threads = std::max(1, std::atoi(argv[i + 1]));
    if (flag == "--seconds") options.seconds = std::atof(argv[i + 1]);
    if (flag == "--only") options.only = argv[i + 1];
    if (flag == "--rows") options.rows = numbers(argv[i + 1]);
  }
  const auto isa = select_isa();
  if (!isa) {
    std::fprintf(stderr, "%s\n", isa.error().message.c_str());
    return 1;
  }
  options.isa = *isa;
  run(options);
  return 0;
}
