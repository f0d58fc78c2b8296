#include "nn/cpu/attention.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>

#include "nn/cpu/kernels.h"
#include "nn/cpu/random_weights.h"
#include "tolerance.h"

namespace pippin::nn::cpu {
namespace {

using namespace test;
using namespace pippin::test;

struct Shape {
  int heads, kv_heads, head_dim;
  int window = 0;
  int chunk = 0;
  float soft_cap = 0;
  bool sinks = false;
  KvType type = KvType::kF16;

  std::string name() const {
    return "D=" + std::to_string(head_dim) + " " + std::string(kv_type_name(type));
  }
};

// The definition of int8 KV: dims in groups of 32, each a scale times codes.
struct Codes {
  Codes(const float* x, int count) {
    float amax = 0;
    for (int i = 0; i < count; ++i) amax = std::max(amax, std::fabs(x[i]));
    scale = amax / 127.0f;
    for (int i = 0; i < count; ++i)
      q[i] = static_cast<int8_t>(std::nearbyint(x[i] * (1.0f / scale)));
  }
  float scale;
  int8_t q[32] = {};
};

// Writes one head of one position to its slice of a block, and to `head` what can be read again.
void store_int8(float* head, int dims, bool key, uint8_t* slice, int offset) {
  const int groups = (dims + 31) / 32;
  auto* scales = reinterpret_cast<uint16_t*>(slice + groups * 32 * 16);
  for (int g = 0; g < groups; ++g) {
    const int count = std::min(32, dims - 32 * g);
    const Codes codes(head + 32 * g, count);
    scales[16 * g + offset] = float_to_half(codes.scale);
    for (int i = 0; i < 32; ++i) {
      const int d = 32 * g + i;
      if (key)
        slice[d / 4 * 64 + offset * 4 + d % 4] = static_cast<uint8_t>(codes.q[i] + 128);
      else
        slice[(offset / 2 * groups * 32 + d) * 2 + offset % 2] = static_cast<uint8_t>(codes.q[i]);
      if (i < count)
        head[d] = static_cast<float>(codes.q[i]) * half_to_float(scales[16 * g + offset]);
    }
  }
}

void store_half(float* head, int dims, bool key, uint8_t* slice, int offset) {
  auto* f16s = reinterpret_cast<uint16_t*>(slice);
  for (int d = 0; d < dims; ++d) {
    const uint16_t half = float_to_half(head[d]);
    f16s[key ? d * 16 + offset : offset * dims + d] = half;
    head[d] = half_to_float(half);
  }
}

// One sequence with its queries, its keys and values in scattered blocks, and unwritten memory full
// of NaN.
struct Sequence {
  Sequence(const Shape& s, int length_, uint32_t seed) : shape(s), length(length_) {
    const int blocks = (length + 15) / 16;
    pool_blocks = blocks + 3;
    table.resize(static_cast<size_t>(blocks));
    std::vector<int32_t> all(static_cast<size_t>(pool_blocks));
    std::iota(all.begin(), all.end(), 0);
    std::mt19937 random(seed);
    std::shuffle(all.begin(), all.end(), random);
    std::copy_n(all.begin(), blocks, table.begin());
    const auto bytes = static_cast<size_t>(pool_blocks * layer().block_bytes());
    k.assign(bytes, 0xff);
    v.assign(bytes, 0xff);
    keys = random_floats(static_cast<size_t>(length * s.kv_heads * s.head_dim), seed + 1);
    values = random_floats(keys.size(), seed + 2);
    q = random_floats(static_cast<size_t>(length * s.heads * s.head_dim), seed + 3);
    sinks = random_floats(static_cast<size_t>(s.heads), seed + 4);
    const auto store = s.type == KvType::kInt8 ? store_int8 : store_half;
    for (int p = 0; p < length; ++p) {
      for (int h = 0; h < s.kv_heads; ++h) {
        const int64_t at = int64_t{p * s.kv_heads + h} * s.head_dim;
        const int64_t slice =
            table[static_cast<size_t>(p / 16)] * layer().block_bytes() + h * layer().head_bytes();
        store(keys.data() + at, s.head_dim, true, k.data() + slice, p % 16);
        store(values.data() + at, s.head_dim, false, v.data() + slice, p % 16);
      }
    }
    read_queries();
  }

  // Queries as they meet keys: scaled, and in codes where keys are.
  void read_queries() {
    for (const float x : q) q_read.push_back(x * scale());
    if (shape.type != KvType::kInt8) return;
    for (int h = 0; h < length * shape.heads; ++h) {
      for (int d = 0; d < shape.head_dim; d += 32) {
        const int count = std::min(32, shape.head_dim - d);
        float* group = q_read.data() + h * shape.head_dim + d;
        const Codes codes(group, count);
        for (int i = 0; i < count; ++i) group[i] = static_cast<float>(codes.q[i]) * codes.scale;
      }
    }
  }

  KvLayer layer() {
    return {.k = k.data(),
            .v = v.data(),
            .kv_heads = shape.kv_heads,
            .head_dim = shape.head_dim,
            .type = shape.type};
  }
  int width() const { return shape.heads * shape.head_dim; }

  // Attention of tokens [first, last), as one row or several of one step.
  std::vector<float> run(const Kernels& path, int first, int last, ThreadPool& pool) {
    const AttentionRow row{
        .row = 0, .tokens = last - first, .start = first, .blocks = table.data()};
    std::vector<float> out(static_cast<size_t>((last - first) * width()));
    paged_attention(path, arguments(q.data() + first * width(), {&row, 1}, out.data()), layer(),
                    pool);
    return out;
  }
  AttentionArgs arguments(const float* queries, std::span<const AttentionRow> rows, float* out) {
    return {.q = queries,
            .heads = shape.heads,
            .scale = scale(),
            .rows = rows,
            .window = shape.window,
            .chunk = shape.chunk,
            .soft_cap = shape.soft_cap,
            .sinks = shape.sinks ? sinks.data() : nullptr,
            .out = out};
  }
  float scale() const { return 1.0f / std::sqrt(static_cast<float>(shape.head_dim)); }

  struct Expected {
    std::vector<double> out;
    double tolerance = 0;
  };
  // The definition, in double precision.
  Expected expected(int token, int head) const {
    const int kv_head = head / (shape.heads / shape.kv_heads);
    const int begin = shape.chunk > 0    ? token - token % shape.chunk
                      : shape.window > 0 ? std::max(0, token - shape.window + 1)
                                         : 0;
    std::vector<double> scores;
    double largest = shape.sinks ? sinks[static_cast<size_t>(head)] : -1e300;
    for (int p = begin; p <= token; ++p) {
      double s = 0;
      for (int d = 0; d < shape.head_dim; ++d) {
        s += static_cast<double>(
                 q_read[static_cast<size_t>((token * shape.heads + head) * shape.head_dim + d)]) *
             keys[static_cast<size_t>((p * shape.kv_heads + kv_head) * shape.head_dim + d)];
      }
      if (shape.soft_cap > 0) s = shape.soft_cap * std::tanh(s / shape.soft_cap);
      scores.push_back(s);
      largest = std::max(largest, s);
    }
    double sum = shape.sinks ? std::exp(sinks[static_cast<size_t>(head)] - largest) : 0;
    std::vector<double> out(static_cast<size_t>(shape.head_dim));
    for (int p = begin; p <= token; ++p) {
      const double w = std::exp(scores[static_cast<size_t>(p - begin)] - largest);
      sum += w;
      for (int d = 0; d < shape.head_dim; ++d) {
        out[static_cast<size_t>(d)] +=
            w * values[static_cast<size_t>((p * shape.kv_heads + kv_head) * shape.head_dim + d)];
      }
    }
    for (double& o : out) o /= sum;
    return {out, tolerance(token, head, begin, sum)};
  }

  // Scores are dot products, whose error moves the weights of the average; `sum`: of these weights,
  // the largest being 1. Weights of int8 values are rounded to 15 bits of the largest.
  double tolerance(int token, int head, int begin, double sum) const {
    const auto dim = static_cast<size_t>(shape.head_dim);
    const auto row = [&](const std::vector<float>& all, int index) {
      return std::span(all).subspan(static_cast<size_t>(index) * dim, dim);
    };
    double key_norm = 0, largest = 0;
    for (int p = begin; p <= token; ++p) {
      const int at = p * shape.kv_heads + head / (shape.heads / shape.kv_heads);
      key_norm = std::max(key_norm, norm_of(row(keys, at)));
      largest = std::max(largest, amax_of(row(values, at)));
    }
    const double query_norm = norm_of(row(q_read, token * shape.heads + head));
    const int positions = token + 1 - begin;
    double of_weights = dot_tolerance(kEpsilonF32, shape.head_dim, query_norm, key_norm) +
                        rounding_tolerance(kEpsilonF32, 8, 1 + shape.soft_cap);
    if (shape.type == KvType::kInt8)
      of_weights += code_tolerance(half_step(1, 32767), std::sqrt(positions)) / sum;
    return largest * of_weights + sum_tolerance(kEpsilonF32, positions, largest);
  }

  Shape shape;
  int length;
  int pool_blocks;
  std::vector<int32_t> table;
  std::vector<uint8_t> k, v;
  std::vector<float> keys, values, q, q_read, sinks;
};

std::vector<Shape> shapes() {
  std::vector<Shape> all{
      {.heads = 9, .kv_heads = 3, .head_dim = 64},
      {.heads = 6, .kv_heads = 1, .head_dim = 128},
      {.heads = 4, .kv_heads = 1, .head_dim = 256, .window = 37},
      {.heads = 4, .kv_heads = 2, .head_dim = 48, .soft_cap = 5},
      {.heads = 2, .kv_heads = 2, .head_dim = 32, .window = 300, .soft_cap = 3, .sinks = true},
      {.heads = 4, .kv_heads = 2, .head_dim = 32, .chunk = 100},
      {.heads = 80, .kv_heads = 1, .head_dim = 16, .sinks = true}};
  for (size_t i = all.size(); i > 0; --i) {
    all.push_back(all[i - 1]);
    all.back().type = KvType::kInt8;
  }
  return all;
}

void expect_same_bits(const float* a, const float* b, size_t count, const std::string& what) {
  for (size_t i = 0; i < count; ++i)
    ASSERT_EQ(float_to_bits(a[i]), float_to_bits(b[i]))
        << what << " at " << i << ": " << a[i] << " " << b[i];
}

TEST(PagedAttention, MatchesDoublePrecisionSoftmax) {
  ThreadPool pool(2);
  for (const Shape& shape : shapes()) {
    Sequence sequence(shape, 333, 1);
    const auto out = sequence.run(default_kernels(), 0, sequence.length, pool);
    for (int token : {0, 1, 15, 16, 36, 37, 38, 100, 255, 256, 257, 299, 300, 301, 332}) {
      for (int head = 0; head < shape.heads; ++head) {
        const auto expected = sequence.expected(token, head);
        for (int d = 0; d < shape.head_dim; ++d) {
          const float got =
              out[static_cast<size_t>((token * shape.heads + head) * shape.head_dim + d)];
          ASSERT_NEAR(got, expected.out[static_cast<size_t>(d)], expected.tolerance)
              << "token " << token << " head " << head << " " << shape.name();
        }
      }
    }
  }
}

TEST(PagedAttention, EveryPathGivesTheOraclesBits) {
  ThreadPool pool(2);
  for (const Shape& shape : shapes()) {
    Sequence sequence(shape, 290, 2);
    for (const auto& [first, last] : {std::pair{0, 35}, std::pair{241, 275}, std::pair{289, 290}}) {
      const auto expected = sequence.run(kernels(Isa::kPortable), first, last, pool);
      for (Isa isa : available_isas()) {
        const auto out = sequence.run(kernels(isa), first, last, pool);
        expect_same_bits(out.data(), expected.data(), out.size(),
                         std::string(isa_name(isa)) + " " + shape.name());
        if (HasFatalFailure()) return;
      }
    }
  }
}

TEST(PagedAttention, ChunkedDecodedAndSplitEqualWhole) {
  ThreadPool one(1);
  ThreadPool three(3);
  for (const Shape& shape : shapes()) {
    Sequence sequence(shape, shape.heads > 9 ? 300 : 700, 3);
    for (Isa isa : available_isas()) {
      if (isa == Isa::kPortable) continue;  // the same templates, slowly
      const Kernels& path = kernels(isa);
      const auto whole = sequence.run(path, 0, sequence.length, one);
      const auto part_equals = [&](int first, int last, ThreadPool& pool) {
        const auto part = sequence.run(path, first, last, pool);
        expect_same_bits(part.data(), whole.data() + first * sequence.width(), part.size(),
                         std::string(isa_name(isa)) + " " + shape.name() + " [" +
                             std::to_string(first) + "," + std::to_string(last) + ")");
      };
      part_equals(0, sequence.length, three);
      for (int first = 0, step = 1; first < sequence.length; first += step, step = step * 2 + 3) {
        part_equals(first, std::min(sequence.length, first + step), three);
      }
      for (int token : {0, 17, 255, 256, 299, 511, 512, 699}) {
        if (token >= sequence.length) break;
        part_equals(token, token + 1, one);
        part_equals(token, token + 1, three);
      }
      if (HasFatalFailure()) return;
    }
  }
}

// What 8 bits cost beside f16, of keys, values and queries of one spread. The error of a code is
// uniform over a step, 1 / 127 of the group's largest, which is about 2.1 sigma of 32 values.
// Values have it once, scores, of spread 1, twice.
TEST(PagedAttention, Int8IsWithinAPercentOfF16) {
  ThreadPool pool(2);
  for (Shape shape : shapes()) {
    if (shape.type != KvType::kInt8) continue;
    Sequence coded(shape, 333, 1);
    shape.type = KvType::kF16;
    Sequence widened(shape, 333, 1);
    const auto got = coded.run(default_kernels(), 0, 333, pool);
    const auto want = widened.run(default_kernels(), 0, 333, pool);
    double error = 0, size = 0;
    for (size_t i = 0; i < got.size(); ++i) {
      error += std::pow(got[i] - want[i], 2.0);
      size += std::pow(want[i], 2.0);
    }
    const double code = half_step(2.1) / std::sqrt(3.0);
    EXPECT_LT(std::sqrt(error / size), 2 * std::sqrt(3.0) * code) << shape.name();
    EXPECT_GT(error, 0) << "nothing was coded";
  }
}

void expect_rows_do_not_meet(KvType type) {
  const Shape shape{.heads = 4, .kv_heads = 2, .head_dim = 64, .type = type};
  ThreadPool pool(2);
  Sequence sequence(shape, 600, 4);
  const std::vector<std::pair<int, int>> spans = {
      {599, 600}, {0, 40}, {300, 301}, {100, 133}, {31, 32}};
  std::vector<AttentionRow> rows;
  std::vector<float> q;
  for (const auto& [first, last] : spans) {
    rows.push_back({.row = static_cast<int>(q.size()) / sequence.width(),
                    .tokens = last - first,
                    .start = first,
                    .blocks = sequence.table.data()});
    q.insert(q.end(), sequence.q.begin() + first * sequence.width(),
             sequence.q.begin() + last * sequence.width());
  }
  std::vector<float> out(q.size());
  paged_attention(sequence.arguments(q.data(), rows, out.data()), sequence.layer(), pool);
  for (size_t i = 0; i < spans.size(); ++i) {
    const auto alone = sequence.run(default_kernels(), spans[i].first, spans[i].second, pool);
    expect_same_bits(alone.data(), out.data() + rows[i].row * sequence.width(), alone.size(),
                     "row " + std::to_string(i));
  }
}

TEST(PagedAttention, RowsOfAStepDoNotMeet) {
  expect_rows_do_not_meet(KvType::kF16);
  expect_rows_do_not_meet(KvType::kInt8);
}

struct RopeCase {
  bool interleaved;
  int dims;
  bool norms;
  KvType type = KvType::kF16;
};

// Tokens through rope_kv_write, and what the definition gives for them.
struct RopeSetup {
  static constexpr int kHeads = 4, kKvHeads = 2, kDim = 80, kTokens = 70, kBlocks = 5;
  static constexpr int kWidth = (kHeads + 2 * kKvHeads) * kDim;

  explicit RopeSetup(const RopeCase& c) : test(c) {
    for (int i = 0; i < c.dims / 2; ++i) {
      inv_freq.push_back(static_cast<float>(std::pow(10000.0, -2.0 * i / c.dims)));
    }
    for (int t = 0; t < kTokens; ++t) {
      positions.push_back(t * t * 20);
      slots.push_back((t * 37) % (kBlocks * 16));
    }
  }

  // q_out, k and v of one path.
  struct Output {
    explicit Output(KvType type) : layer{.kv_heads = kKvHeads, .head_dim = kDim, .type = type} {
      k.resize(static_cast<size_t>(kBlocks * layer.block_bytes()));
      v = k;
    }

    float at(int token, int head, int i, int slot) const {
      if (head < kHeads) return q[static_cast<size_t>((token * kHeads + head) * kDim + i)];
      const bool key = head < kHeads + kKvHeads;
      const int kv_head = (head - kHeads) % kKvHeads, offset = slot % 16;
      const uint8_t* slice =
          (key ? k : v).data() + slot / 16 * layer.block_bytes() + kv_head * layer.head_bytes();
      const auto* f16s = reinterpret_cast<const uint16_t*>(slice);
      if (layer.type == KvType::kF16)
        return half_to_float(f16s[key ? i * 16 + offset : offset * kDim + i]);
      const int code =
          key ? slice[i / 4 * 64 + offset * 4 + i % 4] - 128
              : static_cast<int8_t>(slice[(offset / 2 * layer.groups() * 32 + i) * 2 + offset % 2]);
      const float scale = half_to_float(f16s[layer.code_bytes() / 2 + i / 32 * 16 + offset]);
      return static_cast<float>(code) * scale;
    }

    KvLayer layer;
    std::vector<float> q = std::vector<float>(kTokens * kHeads * kDim);
    std::vector<uint8_t> k, v;
  };

  Output run(Isa isa, ThreadPool& pool) const {
    Output out(test.type);
    KvLayer kv = out.layer;
    kv.k = out.k.data();
    kv.v = out.v.data();
    const float* weights = test.norms ? norm.data() : nullptr;
    const QkvArgs args{.qkv = qkv.data(),
                       .tokens = kTokens,
                       .heads = kHeads,
                       .positions = positions.data(),
                       .slots = slots.data(),
                       .q_norm = weights,
                       .k_norm = weights,
                       .norm_eps = 1e-6f,
                       .rope = {test.interleaved, test.dims, inv_freq.data()},
                       .q_out = out.q.data()};
    rope_kv_write(kernels(isa), args, kv, pool);
    return out;
  }

  std::vector<double> expected(int token, int head) const {
    const float* in = qkv.data() + token * kWidth + head * kDim;
    std::vector<double> out(in, in + kDim);
    if (head >= kHeads + kKvHeads) return out;
    if (test.norms) {
      double square = 0;
      for (double e : out) square += e * e;
      for (size_t i = 0; i < out.size(); ++i) out[i] *= norm[i] / std::sqrt(square / kDim + 1e-6);
    }
    for (int i = 0; i < test.dims / 2; ++i) {
      const auto a = static_cast<size_t>(test.interleaved ? 2 * i : i);
      const auto b = static_cast<size_t>(test.interleaved ? 2 * i + 1 : i + test.dims / 2);
      // The angle itself is an f32 product.
      const float position = static_cast<float>(positions[static_cast<size_t>(token)]);
      const double angle = position * inv_freq[static_cast<size_t>(i)];
      const double x = out[a];
      const double y = out[b];
      out[a] = x * std::cos(angle) - y * std::sin(angle);
      out[b] = y * std::cos(angle) + x * std::sin(angle);
    }
    return out;
  }

  // How far what is kept of `want` may be from it; `all`: the head.
  double tolerance(int head, const std::vector<double>& all, int i) const {
    const double want = std::fabs(all[static_cast<size_t>(i)]);
    // The norm, then cosine, sine and the rotation.
    const double turned = rms_norm_tolerance(kEpsilonF32, kDim, norm_of(all)) +
                          rounding_tolerance(kEpsilonF32, 8, norm_of(all));
    if (head < kHeads) return turned;
    const double stored = turned + rounding_tolerance(kEpsilonF16, 1, want);
    if (test.type == KvType::kF16) return stored;
    const size_t first = static_cast<size_t>(i) / 32 * 32;
    const auto group = std::span(all).subspan(first, std::min<size_t>(32, all.size() - first));
    return stored + half_step(amax_of(group));
  }

  RopeCase test;
  std::vector<float> qkv = random_floats(kTokens * kWidth, 5);
  std::vector<float> norm = random_floats(kDim, 6);
  std::vector<float> inv_freq;
  std::vector<int32_t> positions, slots;
};

TEST(RopeKvWrite, RotatesNormsAndStores) {
  ThreadPool pool(2);
  for (const RopeCase& test :
       {RopeCase{false, 80, false}, RopeCase{true, 80, false}, RopeCase{false, 40, true},
        RopeCase{true, 24, true}, RopeCase{false, 0, false},
        RopeCase{false, 80, false, KvType::kInt8}, RopeCase{true, 24, true, KvType::kInt8}}) {
    const RopeSetup setup(test);
    const RopeSetup::Output oracle = setup.run(Isa::kPortable, pool);
    for (int t = 0; t < RopeSetup::kTokens; ++t) {
      for (int h = 0; h < RopeSetup::kHeads + 2 * RopeSetup::kKvHeads; ++h) {
        const auto expected = setup.expected(t, h);
        for (int i = 0; i < RopeSetup::kDim; ++i) {
          const double want = expected[static_cast<size_t>(i)];
          ASSERT_NEAR(oracle.at(t, h, i, setup.slots[static_cast<size_t>(t)]), want,
                      setup.tolerance(h, expected, i))
              << "token " << t << " head " << h << " i " << i << " dims " << test.dims;
        }
      }
    }
    for (Isa isa : available_isas()) {
      const RopeSetup::Output out = setup.run(isa, pool);
      expect_same_bits(out.q.data(), oracle.q.data(), out.q.size(), isa_name(isa));
      EXPECT_EQ(out.k, oracle.k) << isa_name(isa);
      EXPECT_EQ(out.v, oracle.v) << isa_name(isa);
    }
  }
}

TEST(RmsNorm, MatchesDefinitionOnEveryPath) {
  ThreadPool pool(2);
  for (int64_t dim : {1, 16, 63, 576, 1536}) {
    for (int64_t tokens : {1, 40}) {
      const auto x0 = random_floats(static_cast<size_t>(tokens * dim), 7);
      const auto add = random_floats(x0.size(), 8);
      const auto weight = random_floats(static_cast<size_t>(dim), 9);
      for (bool with_add : {false, true}) {
        std::vector<float> oracle;
        for (Isa isa : available_isas()) {
          auto x = x0;
          std::vector<float> out(x.size());
          rms_norm(kernels(isa), x.data(), with_add ? add.data() : nullptr, weight.data(), 1e-5f,
                   tokens, dim, out.data(), pool);
          for (int64_t t = 0; t < tokens; ++t) {
            double square = 0;
            for (int64_t i = 0; i < dim; ++i) {
              const auto at = static_cast<size_t>(t * dim + i);
              ASSERT_EQ(x[at], with_add ? x0[at] + add[at] : x0[at]);
              square += static_cast<double>(x[at]) * x[at];
            }
            for (int64_t i = 0; i < dim; ++i) {
              const auto at = static_cast<size_t>(t * dim + i);
              const double want = x[at] / std::sqrt(square / static_cast<double>(dim) + 1e-5) *
                                  weight[static_cast<size_t>(i)];
              ASSERT_NEAR(
                  out[at], want,
                  rms_norm_tolerance(kEpsilonF32, static_cast<double>(dim), std::fabs(want)));
            }
          }
          if (isa == Isa::kPortable) oracle = out;
          expect_same_bits(out.data(), oracle.data(), out.size(), isa_name(isa));
        }
      }
    }
  }
}

TEST(GatedActivation, MatchesDefinitionOnEveryPath) {
  constexpr double kExpMax = 87;  // exp() clamps its argument's magnitude to that or 88
  for (int64_t count : {5, 64, 1536}) {
    auto gates = random_floats(static_cast<size_t>(count), 10, 4);
    const auto ups = random_floats(static_cast<size_t>(count), 11, 4);
    gates[0] = 200, gates[1] = -200, gates[2] = 0;
    for (Gate gate : {Gate::kSilu, Gate::kGeluTanh}) {
      std::vector<float> oracle;
      for (Isa isa : available_isas()) {
        const NormRopeKernels& path = kernels(isa).norm_rope;
        std::vector<float> out = gates;  // in place, as gated_linear() has it
        (gate == Gate::kSilu ? path.silu : path.gelu_tanh)(out.data(), ups.data(), count,
                                                           out.data());
        for (size_t i = 0; i < out.size(); ++i) {
          const double g = gates[i], up = ups[i];
          // x / 2 * (1 + tanh(u)) = x / (1 + exp(-2 u)), which does not cancel.
          const double argument =
              gate == Gate::kSilu ? g : 2 * std::sqrt(2 / M_PI) * (g + 0.044715 * g * g * g);
          const double want = g / (1 + std::exp(-argument)) * up;
          // exp() is off by 2 units in the last place, and by the roundings of its argument.
          const double roundings = 8 + 3 * std::min(std::fabs(argument), kExpMax);
          const double clamped = std::fabs(g * up) * std::exp(-kExpMax);
          ASSERT_NEAR(out[i], want,
                      rounding_tolerance(kEpsilonF32, roundings, std::fabs(want)) + clamped)
              << g;
        }
        if (isa == Isa::kPortable) oracle = out;
        expect_same_bits(out.data(), oracle.data(), out.size(), isa_name(isa));
      }
    }
  }
}

}  // namespace
}  // namespace pippin::nn::cpu
