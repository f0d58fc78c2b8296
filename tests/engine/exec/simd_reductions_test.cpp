#include "engine/exec/sampling/simd_reductions.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <random>

#include "random_floats.h"
#include "tolerance.h"

namespace pippin::engine::sampling {
namespace {

using namespace pippin::test;

constexpr float kSigma = 3;  // of logits
const size_t kSizes[] = {1, 2, 15, 16, 17, 31, 1023, 1024, 1025, 5000, 32000, 151936};

TEST(Lanes, ArgmaxEqualsAPlainLoop) {
  Maxima maxima;
  for (const size_t n : kSizes) {
    const auto row = random_floats(n, static_cast<unsigned>(n), kSigma);
    size_t best = 0;
    for (size_t i = 1; i < n; ++i)
      if (row[i] > row[best]) best = i;
    find_maxima(row, maxima);
    EXPECT_EQ(maxima.max, row[best]);
    EXPECT_FALSE(maxima.nan);
    EXPECT_EQ(argmax(row, maxima), best) << n;
  }
}

TEST(Lanes, ArgmaxTakesTheLowestOfTies) {
  Maxima maxima;
  for (const size_t n : {40UL, 3000UL}) {
    for (size_t first = 0; first < n; first += 7) {
      std::vector<float> row(n, -1.0f);
      for (size_t i = first; i < n; i += 3) row[i] = 2.0f;
      find_maxima(row, maxima);
      ASSERT_EQ(argmax(row, maxima), first);
    }
  }
  std::vector<float> zeros(50, 0.0f);
  zeros[3] = -0.0f;
  find_maxima(zeros, maxima);
  EXPECT_EQ(argmax(zeros, maxima), 0U);
}

TEST(Lanes, NanIsSeenAnywhere) {
  Maxima maxima;
  for (size_t place : {0UL, 1UL, 15UL, 16UL, 1023UL, 1024UL, 2000UL}) {
    auto row = random_floats(2001, 5, kSigma);
    row[place] = std::nanf("");
    find_maxima(row, maxima);
    EXPECT_TRUE(maxima.nan) << place;
  }
}

TEST(Lanes, ExpIsAccurate) {
  for (int i = 0; i <= 870000; ++i) {
    const float x = -static_cast<float>(i) * 1e-4f;
    if (x < -87) break;
    const double exact = std::exp(static_cast<double>(x));
    // Its argument is reduced; then a polynomial, and a scale.
    ASSERT_NEAR(exp_of(x) / exact, 1.0, rounding_tolerance(kEpsilonF32, 3, 1)) << x;
  }
  EXPECT_EQ(exp_of(0), 1.0f);
  EXPECT_EQ(exp_of(-88), 0.0f);
  EXPECT_EQ(exp_of(kMasked), 0.0f);
}

TEST(Lanes, SumsEqualDoublePrecision) {
  for (const size_t n : kSizes) {
    auto row = random_floats(n, static_cast<unsigned>(n) + 1, kSigma);
    if (n > 20) row[3] = row[19] = kMasked;
    Maxima maxima;
    find_maxima(row, maxima);
    for (const ExpTerms terms :
         {ExpTerms{maxima.max, 1.0f, kMasked}, ExpTerms{maxima.max, 1.7f, -2.0f}}) {
      double sum = 0, weighted = 0, squared = 0;
      for (const float x : row) {
        if (x == kMasked || x < terms.floor) continue;
        const double off = (static_cast<double>(x) - terms.max) * terms.scale;
        sum += std::exp(off);
        weighted += std::exp(off) * off;
        squared += std::exp(off) * off * off;
      }
      std::vector<double> parts;
      const double got = exp_sum(row, terms, &parts);
      // Two roundings of the argument and three of each exponential; then lanes of a chunk add up.
      const auto tolerance = [&](double magnitude, double by_argument) {
        return rounding_tolerance(kEpsilonF32, 2, std::fabs(by_argument)) +
               rounding_tolerance(kEpsilonF32, 3, std::fabs(magnitude)) +
               sum_tolerance(kEpsilonF32, kChunk / kLanes, std::fabs(magnitude));
      };
      EXPECT_NEAR(got, sum, tolerance(sum, weighted)) << n;
      double total = 0;
      for (const double part : parts) total += part;
      EXPECT_EQ(total, got);
      EXPECT_NEAR(weighted_exp_sum(row, terms), weighted, tolerance(weighted, squared)) << n;
    }
  }
}

TEST(Lanes, MomentsSkipWhatIsMasked) {
  for (const size_t n : kSizes) {
    auto row = random_floats(n, 3, kSigma);
    for (float& x : row) x += 100;  // a mean far from 0
    for (size_t i = 0; i < n; i += 5) row[i] = kMasked;
    if (n < 6) continue;
    double sum = 0, squares = 0;
    size_t count = 0;
    for (const float x : row)
      if (x > kMasked) sum += x, ++count;
    const double mean = sum / static_cast<double>(count);
    for (const float x : row)
      if (x > kMasked) squares += (x - mean) * (x - mean);
    const Moments moments = find_moments(row);
    EXPECT_EQ(moments.count, count);
    const double deviation = std::sqrt(squares / static_cast<double>(count));
    EXPECT_NEAR(moments.mean, mean, sum_tolerance(kEpsilonF32, kChunk / kLanes, mean));
    // Each difference is of a value around 100.
    EXPECT_NEAR(moments.deviation, deviation,
                sum_tolerance(kEpsilonF32, kChunk / kLanes, deviation) +
                    rounding_tolerance(kEpsilonF32, 2, mean));
  }
}

/// FNV-1a over the bits of values.
class Digest {
 public:
  void add(double value) { hash_ = (hash_ ^ std::bit_cast<uint64_t>(value)) * 1099511628211ULL; }
  uint64_t value() const { return hash_; }

 private:
  uint64_t hash_ = 1469598103934665603ULL;
};

// The same number came from builds for x86-64 with SSE2, AVX2 and AVX-512, at -O1 and at -O3.
TEST(Lanes, BitsAreTheSameOnEveryMachine) {
  Digest digest;
  uint64_t state = 1;
  const auto next = [&state] {
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    return static_cast<float>(static_cast<int>(state >> 40) - (1 << 23)) / (1 << 20);
  };
  for (const size_t n : {5UL, 1024UL, 1500UL, 50000UL, 151936UL}) {
    std::vector<float> row(n);
    for (float& x : row) x = next();
    if (n > 100) row[7] = kMasked;
    Maxima maxima;
    find_maxima(row, maxima);
    digest.add(maxima.max);
    for (const float lane : maxima.lanes) digest.add(lane);
    std::vector<double> parts;
    digest.add(exp_sum(row, {maxima.max, 0.7f, -6.0f}, &parts));
    for (const double part : parts) digest.add(part);
    digest.add(weighted_exp_sum(row, {maxima.max, 1.3f, kMasked}));
    const Moments moments = find_moments(row);
    digest.add(moments.mean);
    digest.add(moments.deviation);
    std::vector<float> terms(std::min(n, kChunk));
    exp_terms(std::span(row).first(terms.size()), {maxima.max, 1, kMasked}, terms);
    for (const float term : terms) digest.add(term);
  }
  EXPECT_EQ(digest.value(), 0xcc301a803bb7c581ULL);
}

TEST(Lanes, MaskKeepsExactlyTheAllowed) {
  std::mt19937 generator(11);
  for (const size_t n : {1UL, 31UL, 32UL, 33UL, 100UL, 4096UL}) {
    for (const size_t words : {(n + 31) / 32, (n + 31) / 32 + 2, n / 64}) {
      std::vector<uint32_t> mask(words);
      for (uint32_t& word : mask)
        word = generator() % 3 == 0 ? ~0U : static_cast<uint32_t>(generator());
      const auto before = random_floats(n, 9, kSigma);
      auto row = before;
      apply_mask(row, mask);
      for (size_t i = 0; i < n; ++i) {
        const bool allowed = i / 32 < words && (mask[i / 32] >> (i % 32) & 1) != 0;
        ASSERT_EQ(row[i], allowed ? before[i] : kMasked) << n << " " << i;
      }
    }
  }
}

}  // namespace
}  // namespace pippin::engine::sampling
