#include "nn/cpu/linear.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "nn/cpu/kernels.h"
#include "nn/cpu/random_weights.h"
#include "tolerance.h"

namespace pippin::nn::cpu {
namespace {

using namespace test;
using namespace pippin::test;

std::vector<float> run_linear(const PackedLinear& weight, const float* x, int64_t m,
                              const float* bias, ThreadPool& pool,
                              Activations activations = Activations::kInt8) {
  LinearScratch scratch;
  std::vector<float> y(static_cast<size_t>(m * weight.rows()), -1);
  linear(weight, x, m, bias, y.data(), scratch, pool, activations);
  return y;
}

PackedLinear pack_one(const PackedLinear::Part& part, int64_t k, Isa isa, ThreadPool& pool) {
  Result<PackedLinear> packed = PackedLinear::pack({&part, 1}, k, isa, pool);
  EXPECT_TRUE(packed.ok());
  return std::move(packed).value();
}

void expect_same_bits(const std::vector<float>& a, const std::vector<float>& b,
                      const std::string& what) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i)
    ASSERT_EQ(float_to_bits(a[i]), float_to_bits(b[i]))
        << what << " at " << i << ": " << a[i] << " " << b[i];
}

// Limits of activations for group pairs. `columns` share a scale; their codes reach `largest`. The
// magnitudes of each `part` columns add up to `most` at most, else the scale is stretched.
struct GroupPairRounding {
  size_t columns;
  float largest;
  size_t part;
  int most;
  float (*stretch)(int);
};

// Activations rounded for group pairs.
std::vector<double> rounded_for_group_pairs(const std::vector<float>& x,
                                            const GroupPairRounding& rounding) {
  std::vector<double> out(x.size());
  for (size_t b = 0; b < x.size(); b += rounding.columns) {
    const size_t end = b + rounding.columns;
    float amax = 0;
    for (size_t i = b; i < end; ++i) amax = std::max(amax, std::fabs(x[i]));
    if (amax == 0) continue;
    float scale = amax / rounding.largest;
    const auto code = [&](size_t i) { return std::nearbyintf(x[i] * (1 / scale)); };
    float most = 0;
    for (size_t p = b; p < end; p += rounding.part) {
      float magnitudes = 0;
      for (size_t i = p; i < p + rounding.part; ++i) magnitudes += std::fabs(code(i));
      most = std::max(most, magnitudes);
    }
    if (most > static_cast<float>(rounding.most)) scale *= rounding.stretch(static_cast<int>(most));
    for (size_t i = b; i < end; ++i) out[i] = code(i) * static_cast<double>(scale);
  }
  return out;
}

// The definition, in double precision: activations rounded per group of 32, for K-quants with
// power-of-two scales, or as group pairs want them.
std::vector<double> rounded_activations(const std::vector<float>& x, ActQuantisation form) {
  if (form == ActQuantisation::kGroupPairs)
    return rounded_for_group_pairs(x, {256, 120, 32, kGroupMagnitudesMax, group_stretch});
  if (form == ActQuantisation::kSubBlocks16)
    return rounded_for_group_pairs(x, {32, 96, 16, kSubBlockMagnitudesMax, sub_block_stretch});
  const bool powers_of_two = form == ActQuantisation::kPowerOfTwoScales;
  std::vector<double> out(x.size());
  for (size_t g = 0; g < x.size(); g += 32) {
    float amax = 0;
    for (size_t i = g; i < g + 32; ++i) amax = std::max(amax, std::fabs(x[i]));
    if (amax == 0) continue;
    float scale = amax / (powers_of_two ? 120.0f : 127.0f);
    if (powers_of_two) scale = std::exp2(std::ceil(std::log2(scale)));
    for (size_t i = g; i < g + 32; ++i)
      out[i] = std::nearbyintf(x[i] * (1 / scale)) * static_cast<double>(scale);
  }
  return out;
}

// Each weight's part in the rounding: kernels add codes, offsets and minimums apart, of which none
// is much beyond the largest magnitude of its group.
std::vector<double> group_maxima(std::span<const float> row) {
  std::vector<double> out;
  for (size_t g = 0; g < row.size(); g += 32) {
    const auto group = row.subspan(g, std::min<size_t>(32, row.size() - g));
    out.insert(out.end(), group.size(), amax_of(group));
  }
  return out;
}

// Of the product of a row of weights with a row of activations, in f32.
double product_tolerance(std::span<const float> weights, const auto& x) {
  constexpr int kParts = 3;  // code, offset or minimum, their sum
  return dot_tolerance(kEpsilonF32, static_cast<double>(weights.size()),
                       kParts * norm_of(group_maxima(weights)), norm_of(x));
}

// What rounding a block's sums adds, which minimums are multiplied by. Their step is half the
// largest scale of a group, and that is a power of two, at most twice what the codes need.
double sums_tolerance(std::span<const float> weights, std::span<const double> x) {
  std::vector<double> minimums;
  for (const double each : group_maxima(weights)) minimums.push_back(each / std::sqrt(32.0));
  return code_tolerance(amax_of(x) * 2 / 120 / 4, norm_of(minimums));
}

class EachFormat : public testing::TestWithParam<FormatInfo> {
 protected:
  int64_t columns() const {
    return GetParam().columns <= 32 ? 224 : int64_t{3} * GetParam().columns;
  }
};
std::string format_name(const testing::TestParamInfo<FormatInfo>& test) { return test.param.name; }
INSTANTIATE_TEST_SUITE_P(Formats, EachFormat, testing::ValuesIn(kFormats), format_name);
INSTANTIATE_TEST_SUITE_P(Mlx, EachFormat, testing::ValuesIn(affine_formats(false)), format_name);

// What holds whatever the path computes.
class EachLayout : public EachFormat {};
INSTANTIATE_TEST_SUITE_P(Formats, EachLayout, testing::ValuesIn(kFormats), format_name);
INSTANTIATE_TEST_SUITE_P(Mlx, EachLayout, testing::ValuesIn(affine_formats(true)), format_name);

TEST_P(EachLayout, RowGivesTheFilesExactValues) {
  const int64_t n = 37;
  const int64_t k = columns();
  const Weights weights = random_matrix(GetParam(), n, k, 1);
  const auto values = weights.values();
  ThreadPool pool(2);
  for (Isa isa : available_isas()) {
    const PackedLinear packed = pack_one(weights.part(), k, isa, pool);
    std::vector<float> row(static_cast<size_t>(k));
    for (int64_t r = 0; r < n; ++r) {
      packed.row(r, row.data());
      for (int64_t c = 0; c < k; ++c)
        ASSERT_EQ(row[static_cast<size_t>(c)], values[static_cast<size_t>(r * k + c)])
            << isa_name(isa) << " " << r << "," << c;
    }
  }
}

TEST_P(EachFormat, MatchesDoublePrecision) {
  const auto type = GetParam().type;
  const int64_t n = 45;
  const int64_t k = columns();
  const int64_t m = 5;
  const Weights weights = random_matrix(GetParam(), n, k, 2);
  const auto values = weights.values();
  const auto x = random_floats(static_cast<size_t>(m * k), 3);
  const auto bias = random_floats(static_cast<size_t>(n), 4);
  const auto rounded = rounded_activations(x, tile_format(type).activations());
  const std::vector<double> wide(x.begin(), x.end());
  const auto width = static_cast<size_t>(k);
  // Minimums of 6 bits meet sums of activations that are rounded to 13 bits.
  const bool rounds_sums = type == TensorType::kQ5_K;
  ThreadPool pool(2);
  const PackedLinear packed = pack_one(weights.part(), k, Isa::kPortable, pool);
  for (Activations activations : {Activations::kInt8, Activations::kF32}) {
    const auto y = run_linear(packed, x.data(), m, bias.data(), pool, activations);
    const bool exact = GetParam().is_float() || activations == Activations::kF32;
    for (int64_t r = 0; r < m; ++r) {
      for (int64_t c = 0; c < n; ++c) {
        const auto row = std::span(values).subspan(static_cast<size_t>(c * k), width);
        const auto taken =
            std::span(exact ? wide : rounded).subspan(static_cast<size_t>(r * k), width);
        double sum = bias[static_cast<size_t>(c)];
        for (size_t i = 0; i < width; ++i) sum += row[i] * taken[i];
        double tolerance =
            product_tolerance(row, taken) + rounding_tolerance(kEpsilonF32, 1, std::fabs(sum));
        if (rounds_sums && !exact) tolerance += sums_tolerance(row, taken);
        ASSERT_NEAR(y[static_cast<size_t>(r * n + c)], sum, tolerance) << r << "," << c;
      }
    }
  }
}

TEST_P(EachFormat, EveryPathGivesTheOraclesBits) {
  ThreadPool pool(2);
  const std::vector<std::pair<int64_t, int64_t>> shapes = {
      {1, 1}, {16, 3}, {50, 2}, {37, 9}};  // rows, blocks
  for (const auto& [n, blocks] : shapes) {
    const int64_t k = blocks * std::max(32, GetParam().columns);
    const Weights weights = random_matrix(GetParam(), n, k, static_cast<uint32_t>(n + k));
    const auto bias = random_floats(static_cast<size_t>(n), 7);
    const PackedLinear oracle = pack_one(weights.part(), k, Isa::kPortable, pool);
    std::vector<std::pair<Isa, PackedLinear>> paths;
    for (Isa isa : available_isas())
      paths.emplace_back(isa, pack_one(weights.part(), k, isa, pool));
    for (int64_t m : {1, 2, 3, 4, 5, 6, 7, 8, 16, 33}) {
      if (m > 8 && blocks == 9) continue;  // keeps the slow oracle short
      const auto x = random_floats(static_cast<size_t>(m * k), static_cast<uint32_t>(m), 3);
      for (Activations activations : {Activations::kInt8, Activations::kF32}) {
        const auto expected = run_linear(oracle, x.data(), m, bias.data(), pool, activations);
        for (const auto& [isa, packed] : paths) {
          expect_same_bits(run_linear(packed, x.data(), m, bias.data(), pool, activations),
                           expected,
                           std::string(isa_name(isa)) + " n=" + std::to_string(n) +
                               " k=" + std::to_string(k) + " m=" + std::to_string(m));
          if (HasFatalFailure()) return;
        }
      }
    }
  }
}

TEST_P(EachFormat, ARowDoesNotDependOnItsNeighboursNorOnThreads) {
  const int64_t n = 144;
  const int64_t k = 1280;  // more than one pass over K when there are many rows
  const int64_t rows = 150;
  const Weights weights = random_matrix(GetParam(), n, k, 5);
  const auto x = random_floats(static_cast<size_t>(rows * k), 6);
  ThreadPool one(1);
  ThreadPool two(2);
  ThreadPool three(3);
  for (Isa isa : available_isas()) {
    const bool slow = isa == Isa::kPortable;
    const PackedLinear packed = pack_one(weights.part(), k, isa, two);
    for (Activations activations : {Activations::kInt8, Activations::kF32}) {
      if (activations == Activations::kF32 && isa != Isa::kAvx2) continue;
      const int64_t most = slow ? 9 : rows;
      std::vector<float> alone;
      for (int64_t r = 0; r < most; ++r) {
        const auto y =
            run_linear(packed, x.data() + r * k, 1, nullptr, r % 2 ? one : two, activations);
        alone.insert(alone.end(), y.begin(), y.end());
      }
      for (int64_t m : {2, 3, 4, 5, 7, 8, 9, 16, 17, 33, 64, 100, 150}) {
        if (m > most) continue;
        const std::vector<float> expected(alone.begin(), alone.begin() + m * n);
        for (ThreadPool* pool : {&one, &two, &three}) {
          if (slow && pool != &two) continue;
          expect_same_bits(run_linear(packed, x.data(), m, nullptr, *pool, activations), expected,
                           std::string(isa_name(isa)) + " m=" + std::to_string(m) +
                               " threads=" + std::to_string(pool->threads()));
          if (HasFatalFailure()) return;
        }
      }
    }
  }
}

TEST(Linear, KnowingTheNextProductChangesNoBit) {
  const int64_t k = 256;
  ThreadPool pool(3);
  const PackedLinear first =
      pack_one({TensorType::kQ4_K, random_weights(TensorType::kQ4_K, 300, k, 1), 300}, k,
               Isa::kPortable, pool);
  const PackedLinear tiny =  // fewer tiles than threads
      pack_one({TensorType::kQ8_0, random_weights(TensorType::kQ8_0, 5, k, 2), 5}, k,
               Isa::kPortable, pool);
  const auto x = random_floats(static_cast<size_t>(2 * k), 3);
  const auto expected = run_linear(first, x.data(), 2, nullptr, pool);
  LinearScratch scratch;
  for (const PackedLinear* next : {&tiny, &first, &tiny}) {
    std::vector<float> y(expected.size());
    linear(first, x.data(), 2, nullptr, y.data(), scratch, pool, Activations::kInt8, next);
    expect_same_bits(y, expected, "with a next product");
  }
}

TEST(Linear, StacksPartsOfDifferentFormats) {
  const int64_t k = 512;
  std::vector<Weights> parts;
  const auto add = [&](const FormatInfo& format, int64_t rows) {
    parts.push_back(random_matrix(format, rows, k, static_cast<uint32_t>(rows)));
  };
  add(info(TensorType::kQ4_K), 40);
  add(info(TensorType::kQ6_K), 24);
  for (const FormatInfo& format : affine_formats(false)) add(format, 17);
  add(info(TensorType::kF16), 9);
  add(info(TensorType::kQ8_0), 16);
  int64_t n = 0;
  for (const Weights& part : parts) n += part.rows;
  ThreadPool pool(2);
  const auto x = random_floats(3 * k, 8);
  for (Isa isa : available_isas()) {
    std::vector<PackedLinear::Part> stacked;
    for (const Weights& part : parts) stacked.push_back(part.part());
    const PackedLinear all = PackedLinear::pack(stacked, k, isa, pool).value();
    ASSERT_EQ(all.rows(), n);
    const auto y = run_linear(all, x.data(), 3, nullptr, pool);
    int64_t first = 0;
    for (const Weights& weights : parts) {
      const PackedLinear part = pack_one(weights.part(), k, isa, pool);
      const auto part_y = run_linear(part, x.data(), 3, nullptr, pool);
      std::vector<float> row(k), whole_row(k);
      part.row(0, row.data());
      all.row(first, whole_row.data());
      EXPECT_EQ(row, whole_row);
      for (int64_t r = 0; r < 3; ++r) {
        for (int64_t c = 0; c < weights.rows; ++c) {
          ASSERT_EQ(y[static_cast<size_t>(r * n + first + c)],
                    part_y[static_cast<size_t>(r * weights.rows + c)]);
        }
      }
      first += weights.rows;
    }
  }
}

// Bit by bit what two products and the gate's kernel give, whatever the types and the rows.
TEST(Linear, GatedIsTwoProductsAndAGate) {
  const int64_t k = 512;
  ThreadPool pool(2);
  for (const auto& [gates, ups] : {std::pair{TensorType::kQ4_K, TensorType::kQ6_K},
                                   std::pair{TensorType::kQ8_0, TensorType::kQ8_0},
                                   std::pair{TensorType::kF16, TensorType::kQ4_1}}) {
    for (int64_t n : {16, 40, 331}) {
      const Weights gate_part = random_matrix(info(gates), n, k, 1);
      const Weights up_part = random_matrix(info(ups), n, k, 2);
      const std::vector<PackedLinear::Part> parts{gate_part.part(), up_part.part()};
      const auto bias = random_floats(static_cast<size_t>(2 * n), 3);
      for (Isa isa : available_isas()) {
        const PackedLinear stacked = PackedLinear::pack(parts, k, isa, pool).value();
        const PackedLinear interleaved =
            PackedLinear::pack(parts, k, isa, pool, nullptr, PackedLinear::Order::kInterleaved)
                .value();
        std::vector<float> row(k), interleaved_row(k);
        stacked.row(n + 3, row.data());
        interleaved.row(n + 3, interleaved_row.data());
        EXPECT_EQ(row, interleaved_row);
        for (int64_t m : {1, 3, 16, 37}) {
          const auto x = random_floats(static_cast<size_t>(m * k), 4);
          for (const float* added : {static_cast<const float*>(nullptr), bias.data()}) {
            const auto both = run_linear(stacked, x.data(), m, added, pool);
            std::vector<float> want(static_cast<size_t>(m * n)), got(want);
            for (int64_t r = 0; r < m; ++r) {
              const float* at = both.data() + 2 * n * r;
              kernels(isa).norm_rope.silu(at, at + n, n, want.data() + n * r);
            }
            LinearScratch scratch;
            gated_linear(interleaved, x.data(), m, added, Gate::kSilu, got.data(), scratch, pool);
            expect_same_bits(got, want, isa_name(isa));
          }
        }
      }
    }
  }
}

// Through fused_blocks, with many rows, or through floats: the bits are those of the two products.
TEST(Linear, AFeedForwardLayerIsItsTwoProducts) {
  const int64_t k = 256, outputs = 40;
  ThreadPool pool(2);
  struct Layer {
    TensorType gate_up, down;
    int64_t width;
  };
  for (const Layer& layer : {Layer{TensorType::kQ4_K, TensorType::kQ6_K, 2304},
                             Layer{TensorType::kQ4_1, TensorType::kQ4_K, 256},
                             Layer{TensorType::kF16, TensorType::kQ5_0, 2080},
                             Layer{TensorType::kQ8_0, TensorType::kQ4_1, 32},
                             Layer{TensorType::kQ4_K, TensorType::kF16, 272}}) {
    const Weights gates = random_matrix(info(layer.gate_up), layer.width, k, 1);
    const Weights ups = random_matrix(info(layer.gate_up), layer.width, k, 2);
    const Weights downs = random_matrix(info(layer.down), outputs, layer.width, 3);
    const std::vector<PackedLinear::Part> parts{gates.part(), ups.part()};
    const auto bias = random_floats(static_cast<size_t>(2 * layer.width + outputs), 4);
    const float* down_bias = bias.data() + 2 * layer.width;
    for (Isa isa : available_isas()) {
      const PackedLinear gate_up =
          PackedLinear::pack(parts, k, isa, pool, nullptr, PackedLinear::Order::kInterleaved)
              .value();
      const PackedLinear down = pack_one(downs.part(), layer.width, isa, pool);
      for (const Activations activations : {Activations::kInt8, Activations::kF32}) {
        for (int64_t m : {1, 37, 150}) {
          if (m > 37 && activations == Activations::kF32) continue;  // nothing new
          const auto x = random_floats(static_cast<size_t>(m * k), 5);
          LinearScratch scratch;
          std::vector<float> between(static_cast<size_t>(m * layer.width));
          std::vector<float> want(static_cast<size_t>(m * outputs)), got(want);
          gated_linear(gate_up, x.data(), m, bias.data(), Gate::kSilu, between.data(), scratch,
                       pool, activations);
          linear(down, between.data(), m, down_bias, want.data(), scratch, pool, activations);
          feed_forward(gate_up, down, x.data(), m, bias.data(), down_bias, Gate::kSilu, got.data(),
                       scratch, pool, activations);
          expect_same_bits(got, want, isa_name(isa));
        }
      }
    }
  }
}

TEST(Linear, PackedBitsAreWhatIsHeld) {
  ThreadPool pool(1);
  constexpr int64_t kRows = 160, kColumns = 1024;
  for (const FormatInfo& format : kFormats) {
    const Weights weights = random_matrix(format, kRows, kColumns, 1);
    const PackedLinear packed = pack_one(weights.part(), kColumns, Isa::kPortable, pool);
    EXPECT_EQ(8.0 * static_cast<double>(packed.bytes()) / (kRows * kColumns),
              packed_bits(format.type))
        << format.name;
  }
  EXPECT_EQ(packed_bits(TensorType::kQ4_K), 4.5);
  EXPECT_EQ(packed_bits(TensorType::kIQ2_XXS), 3.5625);
  EXPECT_EQ(packed_bits(TensorType::kIQ3_S), 4.3125);
  EXPECT_EQ(packed_bits(TensorType::kTQ1_0), 2.25);
}

TEST(Linear, AnArenasChunkLivesAsLongAsItsPieces) {
  ThreadPool pool(1);
  const auto bytes = random_weights(TensorType::kQ8_0, 40, 64, 3);
  const auto values = weight_values(TensorType::kQ8_0, bytes);
  const PackedLinear::Part part{TensorType::kQ8_0, bytes, 40};
  auto arena = std::make_unique<WeightArena>(1);  // every chunk is one huge page
  std::vector<PackedLinear> packed;
  for (int i = 0; i < 1000; ++i)
    packed.push_back(PackedLinear::pack({&part, 1}, 64, Isa::kPortable, pool, arena.get()).value());
  arena.reset();
  packed.erase(packed.begin(), packed.begin() + 500);
  std::vector<float> row(64);
  for (const PackedLinear& weight : packed) {
    weight.row(39, row.data());
    ASSERT_TRUE(std::equal(row.begin(), row.end(), values.end() - 64));
  }
}

// The largest codes of either sign, with moderate scales.
Weights extreme_matrix(const FormatInfo& format, int64_t n, int64_t k, int fill) {
  Weights out = random_matrix(format, n, k, 1);
  std::fill(out.bytes.begin(), out.bytes.end(), static_cast<std::byte>(fill));
  if (format.is_affine()) {
    const size_t groups = static_cast<size_t>(n * k / format.columns);
    out.scales.clear();
    out.biases.clear();
    for (size_t g = 0; g < groups; ++g) {
      append_float(format.floats, 0.5f, out.scales);
      append_float(format.floats, g % 2 ? 32.0f : -32.0f, out.biases);
    }
    return out;
  }
  for (size_t b = 0; b < out.bytes.size(); b += static_cast<size_t>(format.bytes)) {
    set_halves(format.type, reinterpret_cast<uint8_t*>(out.bytes.data()) + b, [] { return 0.5f; });
    if (format.type == TensorType::kMXFP4) out.bytes[b] = std::byte{127};
  }
  return out;
}

TEST(Linear, ExtremeCodesDoNotOverflow) {
  const int64_t n = 16;
  const int64_t k = 512;
  ThreadPool pool(1);
  std::vector<FormatInfo> formats(kFormats.begin(), kFormats.end());
  for (const FormatInfo& format : affine_formats(false)) formats.push_back(format);
  for (const FormatInfo& format : formats) {
    if (format.is_float()) continue;
    // Activations are all as far from zero as they go. Against codes without a sign, the same sign
    // everywhere is worst. A Winograd inner product has all combinations of two sub-blocks' signs.
    for (const auto& [fill, half] : {std::pair{0xff, 32},
                                     {0xff, 64},
                                     {0x80, 32},
                                     {0x00, 32},
                                     {0xff, 16},
                                     {0xff, 48},
                                     {0x00, 16},
                                     {0x00, 48},
                                     {0xff, 0},
                                     {0x00, 0},
                                     {0x00, 64}}) {
      constexpr float kMost = 120;  // the largest code of K-quants' activations, at a scale of 1
      std::vector<float> x(static_cast<size_t>(k * kRowsMax));
      for (size_t i = 0; i < x.size(); ++i)
        x[i] = i % 64 < static_cast<size_t>(half) ? kMost : -kMost;
      const Weights weights = extreme_matrix(format, n, k, fill);
      const auto values = weights.values();
      const auto rounded = rounded_activations(x, tile_format(format.type).activations());
      const auto row = std::span(values).first(static_cast<size_t>(k));
      const auto taken = std::span(rounded).first(row.size());
      double sum = 0;
      for (size_t i = 0; i < row.size(); ++i) sum += row[i] * taken[i];
      double tolerance = product_tolerance(row, taken);
      if (format.type == TensorType::kQ5_K) tolerance += sums_tolerance(row, taken);
      for (Isa isa : available_isas()) {
        const PackedLinear packed = pack_one(weights.part(), k, isa, pool);
        for (const int64_t rows : {1, 16, kRowsMax}) {
          const auto y = run_linear(packed, x.data(), rows, nullptr, pool);
          EXPECT_NEAR(y[0], sum, tolerance) << format.name << " " << isa_name(isa) << " fill "
                                            << fill << " half " << half << " rows " << rows;
        }
      }
    }
  }
}

TEST(Linear, OddActivationsStayFinite) {
  const int64_t k = 64;
  ThreadPool pool(1);
  const auto bytes = random_weights(TensorType::kQ4_0, 16, k, 9);
  std::vector<float> x(static_cast<size_t>(k), 0.0f);
  for (float value : {0.0f, 1e-40f, 1e-36f, -1e-30f, 1e30f}) {
    x[3] = value;
    for (Isa isa : available_isas()) {
      const auto y = run_linear(pack_one({TensorType::kQ4_0, bytes, 16}, k, isa, pool), x.data(), 1,
                                nullptr, pool);
      for (float v : y) EXPECT_TRUE(std::isfinite(v)) << isa_name(isa) << " " << value;
    }
  }
}

TEST(Linear, RefusesWhatItCannotPack) {
  ThreadPool pool(1);
  const auto bytes = random_weights(TensorType::kQ4_K, 4, 256, 1);
  const PackedLinear::Part whole{TensorType::kQ4_K, bytes, 4};
  EXPECT_EQ(PackedLinear::pack({&whole, 1}, 128, Isa::kPortable, pool).error().code,
            Code::kUnsupported);
  EXPECT_EQ(PackedLinear::pack({&whole, 1}, 0, Isa::kPortable, pool).error().code,
            Code::kUnsupported);
  const PackedLinear::Part more{TensorType::kQ4_K, bytes, 5};
  EXPECT_EQ(PackedLinear::pack({&more, 1}, 256, Isa::kPortable, pool).error().code,
            Code::kInvalidFile);
}

Code pack_error(const PackedLinear::Part& part, int64_t columns) {
  ThreadPool pool(1);
  const auto packed = PackedLinear::pack({&part, 1}, columns, Isa::kPortable, pool);
  return packed.ok() ? Code{} : packed.error().code;
}

TEST(Linear, RefusesAffineWeightsItCannotPack) {
  for (const FormatInfo& format : affine_formats(true)) {
    SCOPED_TRACE(format.name);
    const int64_t k = 2 * format.columns;
    const Weights weights = random_matrix(format, 3, k, 1);
    const PackedLinear::Part whole = weights.part();
    ThreadPool pool(1);
    EXPECT_TRUE(PackedLinear::pack({&whole, 1}, k, Isa::kPortable, pool).ok());
    for (const int64_t columns : {int64_t{0}, int64_t{-1}, k / 2 - 8, k - 1, k + 8})
      EXPECT_EQ(pack_error(whole, columns), Code::kUnsupported) << columns;
    for (const int group : {0, -32, 1, 16, 48, 96, 256, 1 << 30}) {
      PackedLinear::Part part = whole;
      part.mlx.group = group;
      EXPECT_EQ(pack_error(part, k), Code::kUnsupported) << group;
    }
    for (const TensorType type : {TensorType::kQ8_0, TensorType::kAffine4, TensorType{255}}) {
      PackedLinear::Part part = whole;
      part.mlx.scale_type = type;
      EXPECT_EQ(pack_error(part, k), Code::kUnsupported);
    }
    for (const int64_t rows : {int64_t{0}, int64_t{-1}, int64_t{4}, int64_t{1} << 60}) {
      PackedLinear::Part part = whole;
      part.rows = rows;
      EXPECT_EQ(pack_error(part, k), Code::kInvalidFile) << rows;
    }
    EXPECT_EQ(pack_error(whole, 2 * k), Code::kInvalidFile);
    using Bytes = std::span<const std::byte>;
    const auto shorter = [](Bytes bytes) { return bytes.first(bytes.size() - 1); };
    PackedLinear::Part codes = whole;
    codes.bytes = shorter(codes.bytes);
    EXPECT_EQ(pack_error(codes, k), Code::kInvalidFile);
    for (Bytes QuantisationParameters::*bytes :
         {&QuantisationParameters::scales, &QuantisationParameters::biases}) {
      for (const bool none : {false, true}) {
        PackedLinear::Part part = whole;
        part.mlx.*bytes = none ? Bytes() : shorter(part.mlx.*bytes);
        EXPECT_EQ(pack_error(part, k), Code::kInvalidFile);
      }
    }
  }
}

}  // namespace
}  // namespace pippin::nn::cpu
