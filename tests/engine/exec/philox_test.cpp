#include "engine/exec/sampling/philox.h"

#include <gtest/gtest.h>

#include <set>

namespace pippin::engine::sampling {
namespace {

using Words = std::array<uint32_t, 4>;

// The known answers of the authors' own implementation (Random123, kat_vectors, philox4x32 10).
TEST(Philox, KnownAnswers) {
  EXPECT_EQ(philox4x32({0, 0, 0, 0}, {0, 0}),
            (Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox4x32({~0U, ~0U, ~0U, ~0U}, {~0U, ~0U}),
            (Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Philox, NumbersLieInTheUnitIntervalAndAreSpread) {
  constexpr int kBins = 20, kCount = 40000;
  std::array<int, kBins> bins{};
  for (uint32_t i = 0; i < kCount; ++i) {
    const double u = uniform(7, i, Draw::kToken);
    ASSERT_GE(u, 0.0);
    ASSERT_LT(u, 1.0);
    ++bins[static_cast<size_t>(u * kBins)];
  }
  double chi = 0;
  for (const int n : bins) chi += (n - 2000.0) * (n - 2000.0) / 2000.0;
  EXPECT_LT(chi, 43.8);  // 19 degrees of freedom, p = 0.001
}

TEST(Philox, SeedIndexAndDrawAllMatter) {
  std::set<double> seen;
  for (uint64_t seed : {0ULL, 1ULL, 1ULL << 32, 1ULL << 63})
    for (uint32_t index = 0; index < 4; ++index)
      for (Draw draw : {Draw::kToken, Draw::kXtc}) seen.insert(uniform(seed, index, draw));
  EXPECT_EQ(seen.size(), 32U);
}

}  // namespace
}  // namespace pippin::engine::sampling
