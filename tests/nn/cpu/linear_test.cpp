#include "nn/cpu/linear.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "nn/cpu/random_weights.h"

namespace pippin::nn::cpu {
namespace {

using namespace test;

std::vector<float> run_linear(const PackedLinear& weight, const float* x, int64_t m,
                              const float* bias, ThreadPool& pool,
                              Activations activations = Activations::kInt8) {
  LinearScratch scratch;
  std::vector<float> y(static_cast<size_t>(m * weight.rows()), -1);
  linear(weight, x, m, bias, y.data(), scratch, pool, activations);
  return y;
}

PackedLinear pack_one(WeightType type, const std::vector<std::byte>& bytes, int64_t n, int64_t k,
                      Isa isa, ThreadPool& pool) {
  const PackedLinear::Part part{type, bytes, n};
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

// What the int8 scheme computes, in double precision: activations rounded per group of 32, for
// K-quants with scales that are powers of two.
std::vector<double> rounded_activations(const std::vector<float>& x, bool powers_of_two) {
  std::vector<double> out(x.size());
  for (size_t g = 0; g < x.size(); g += 32) {
    float peak = 0;
    for (size_t i = g; i < g + 32; ++i) peak = std::max(peak, std::fabs(x[i]));
    if (peak == 0) continue;
    float scale = peak / 127.0f;
    if (powers_of_two) scale = std::exp2(std::ceil(std::log2(scale)));
    for (size_t i = g; i < g + 32; ++i)
      out[i] = std::nearbyintf(x[i] * (1 / scale)) * static_cast<double>(scale);
  }
  return out;
}

class EachFormat : public testing::TestWithParam<FormatInfo> {
 protected:
  bool is_float() const { return GetParam().columns == 1; }
  int64_t columns() const { return GetParam().columns == 256 ? 768 : 224; }
};
INSTANTIATE_TEST_SUITE_P(Formats, EachFormat, testing::ValuesIn(kFormats),
                         [](const auto& test) { return std::string(test.param.name); });

TEST_P(EachFormat, RowGivesTheFilesExactValues) {
  const auto type = GetParam().type;
  const int64_t n = 37;
  const int64_t k = columns();
  const auto bytes = random_weights(type, n, k, 1);
  const auto values = weight_values(type, bytes);
  ThreadPool pool(2);
  for (Isa isa : available_isas()) {
    const PackedLinear packed = pack_one(type, bytes, n, k, isa, pool);
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
  const auto bytes = random_weights(type, n, k, 2);
  const auto values = weight_values(type, bytes);
  const auto x = random_floats(static_cast<size_t>(m * k), 3);
  const auto bias = random_floats(static_cast<size_t>(n), 4);
  const bool blocks = GetParam().columns == 256;
  const auto rounded = rounded_activations(x, blocks);
  // Minimums of 6 bits meet sums of activations that are rounded to 13 bits.
  const bool rounds_sums = type == WeightType::kQ4_K || type == WeightType::kQ5_K;
  ThreadPool pool(2);
  const PackedLinear packed = pack_one(type, bytes, n, k, Isa::kPortable, pool);
  for (Activations activations : {Activations::kInt8, Activations::kF32}) {
    const auto y = run_linear(packed, x.data(), m, bias.data(), pool, activations);
    const bool exact = is_float() || activations == Activations::kF32;
    for (int64_t r = 0; r < m; ++r) {
      for (int64_t c = 0; c < n; ++c) {
        double sum = 0;
        double magnitude = 1;
        for (int64_t i = 0; i < k; ++i) {
          const auto at = static_cast<size_t>(r * k + i);
          const double term =
              values[static_cast<size_t>(c * k + i)] * (exact ? x[at] : rounded[at]);
          sum += term;
          magnitude += std::fabs(term);
        }
        // Sums of k / 32 or k f32 terms; minimums and scaled codes cancel, which `magnitude` counts
        // twice at most.
        ASSERT_NEAR(y[static_cast<size_t>(r * n + c)], sum + bias[static_cast<size_t>(c)],
                    magnitude * (rounds_sums && !exact ? 1e-4 : 4e-6))
            << r << "," << c;
      }
    }
  }
}

TEST_P(EachFormat, EveryPathGivesTheOraclesBits) {
  const auto type = GetParam().type;
  ThreadPool pool(2);
  const std::vector<std::pair<int64_t, int64_t>> shapes = {
      {1, 1}, {16, 3}, {50, 2}, {37, 9}};  // rows, blocks
  for (const auto& [n, blocks] : shapes) {
    const int64_t k = blocks * std::max(32, GetParam().columns);
    const auto bytes = random_weights(type, n, k, static_cast<uint32_t>(n + k));
    const auto bias = random_floats(static_cast<size_t>(n), 7);
    const PackedLinear oracle = pack_one(type, bytes, n, k, Isa::kPortable, pool);
    std::vector<std::pair<Isa, PackedLinear>> paths;
    for (Isa isa : available_isas())
      paths.emplace_back(isa, pack_one(type, bytes, n, k, isa, pool));
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
  const auto type = GetParam().type;
  const int64_t n = 144;
  const int64_t k = 1280;  // more than one pass over K when there are many rows
  const int64_t rows = 150;
  const auto bytes = random_weights(type, n, k, 5);
  const auto x = random_floats(static_cast<size_t>(rows * k), 6);
  ThreadPool one(1);
  ThreadPool two(2);
  ThreadPool three(3);
  for (Isa isa : available_isas()) {
    const bool slow = isa == Isa::kPortable;
    const PackedLinear packed = pack_one(type, bytes, n, k, isa, two);
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
      pack_one(WeightType::kQ4_K, random_weights(WeightType::kQ4_K, 300, k, 1), 300, k,
               Isa::kPortable, pool);
  const PackedLinear tiny =  // fewer tiles than threads
      pack_one(WeightType::kQ8_0, random_weights(WeightType::kQ8_0, 5, k, 2), 5, k, Isa::kPortable,
               pool);
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
  const std::vector<std::pair<WeightType, int64_t>> parts = {{WeightType::kQ4_K, 40},
                                                             {WeightType::kQ6_K, 24},
                                                             {WeightType::kF16, 9},
                                                             {WeightType::kQ8_0, 16}};
  ThreadPool pool(2);
  const auto x = random_floats(3 * k, 8);
  for (Isa isa : available_isas()) {
    std::vector<std::vector<std::byte>> bytes;
    std::vector<PackedLinear::Part> stacked;
    for (const auto& [type, rows] : parts)
      bytes.push_back(random_weights(type, rows, k, static_cast<uint32_t>(rows)));
    for (size_t i = 0; i < parts.size(); ++i)
      stacked.push_back({parts[i].first, bytes[i], parts[i].second});
    const PackedLinear all = PackedLinear::pack(stacked, k, isa, pool).value();
    ASSERT_EQ(all.rows(), 89);
    const auto y = run_linear(all, x.data(), 3, nullptr, pool);
    int64_t first = 0;
    for (size_t i = 0; i < parts.size(); ++i) {
      const PackedLinear part = pack_one(parts[i].first, bytes[i], parts[i].second, k, isa, pool);
      const auto part_y = run_linear(part, x.data(), 3, nullptr, pool);
      std::vector<float> row(k), whole_row(k);
      part.row(0, row.data());
      all.row(first, whole_row.data());
      EXPECT_EQ(row, whole_row);
      for (int64_t r = 0; r < 3; ++r) {
        for (int64_t c = 0; c < parts[i].second; ++c) {
          ASSERT_EQ(y[static_cast<size_t>(r * 89 + first + c)],
                    part_y[static_cast<size_t>(r * parts[i].second + c)]);
        }
      }
      first += parts[i].second;
    }
  }
}

TEST(Linear, AnArenasChunkLivesAsLongAsItsPieces) {
  ThreadPool pool(1);
  const auto bytes = random_weights(WeightType::kQ8_0, 40, 64, 3);
  const auto values = weight_values(WeightType::kQ8_0, bytes);
  const PackedLinear::Part part{WeightType::kQ8_0, bytes, 40};
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

TEST(Linear, ExtremeCodesDoNotOverflow) {
  // All-ones and 0x80 bytes are the largest codes of either sign; the activations are all +-127.
  const int64_t n = 16;
  const int64_t k = 512;
  ThreadPool pool(1);
  std::vector<float> x(static_cast<size_t>(k));
  for (size_t i = 0; i < x.size(); ++i) x[i] = i % 64 < 32 ? 1.0f : -1.0f;
  for (const FormatInfo& format : kFormats) {
    if (format.columns == 1) continue;
    for (int fill : {0xff, 0x80, 0x00}) {
      std::vector<std::byte> bytes(static_cast<size_t>(n * k / format.columns * format.bytes),
                                   static_cast<std::byte>(fill));
      for (size_t b = 0; b < bytes.size(); b += static_cast<size_t>(format.bytes)) {
        for (int at : half_fields(format.type)) {
          const uint16_t one = float_to_half(0.5f);
          std::memcpy(bytes.data() + b + at, &one, 2);
        }
        if (format.type == WeightType::kMXFP4) bytes[b] = std::byte{127};
      }
      const auto values = weight_values(format.type, bytes);
      double sum = 0;
      double magnitude = 1;
      for (size_t i = 0; i < x.size(); ++i)
        sum += values[i] * static_cast<double>(x[i]), magnitude += std::fabs(values[i]);
      for (Isa isa : available_isas()) {
        const PackedLinear packed = pack_one(format.type, bytes, n, k, isa, pool);
        const auto y = run_linear(packed, x.data(), 1, nullptr, pool);
        EXPECT_NEAR(y[0], sum, magnitude * 1e-5)
            << format.name << " " << isa_name(isa) << " fill " << fill;
      }
    }
  }
}

TEST(Linear, OddActivationsStayFinite) {
  const int64_t k = 64;
  ThreadPool pool(1);
  const auto bytes = random_weights(WeightType::kQ4_0, 16, k, 9);
  std::vector<float> x(static_cast<size_t>(k), 0.0f);
  for (float value : {0.0f, 1e-40f, 1e-36f, -1e-30f, 1e30f}) {
    x[3] = value;
    for (Isa isa : available_isas()) {
      const auto y = run_linear(pack_one(WeightType::kQ4_0, bytes, 16, k, isa, pool), x.data(), 1,
                                nullptr, pool);
      for (float v : y) EXPECT_TRUE(std::isfinite(v)) << isa_name(isa) << " " << value;
    }
  }
}

TEST(Linear, RefusesWhatItCannotPack) {
  ThreadPool pool(1);
  const auto bytes = random_weights(WeightType::kQ4_K, 4, 256, 1);
  const PackedLinear::Part whole{WeightType::kQ4_K, bytes, 4};
  EXPECT_EQ(PackedLinear::pack({&whole, 1}, 128, Isa::kPortable, pool).error().code,
            Code::kUnsupported);
  EXPECT_EQ(PackedLinear::pack({&whole, 1}, 0, Isa::kPortable, pool).error().code,
            Code::kUnsupported);
  const PackedLinear::Part more{WeightType::kQ4_K, bytes, 5};
  EXPECT_EQ(PackedLinear::pack({&more, 1}, 256, Isa::kPortable, pool).error().code,
            Code::kInvalidFile);
}

}  // namespace
}  // namespace pippin::nn::cpu
