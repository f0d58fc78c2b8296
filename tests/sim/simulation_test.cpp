#include "sim/simulation.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <iostream>

namespace pippin::engine::testing {
namespace {

constexpr int kRequests = 200;

uint64_t seeds_wanted() {
  const char* wanted = std::getenv("PIPPIN_SIM_SEEDS");
  return wanted == nullptr ? 40 : std::strtoull(wanted, nullptr, 10);
}

TEST(Simulation, NothingIsLostUnderRandomLoad) {
  Simulation::Tally total;
  for (uint64_t seed = 1; seed <= seeds_wanted(); ++seed) {
    Simulation simulation(seed, kRequests);
    ASSERT_EQ(simulation.run(), "") << "seed " << seed;
    const Simulation::Tally& tally = simulation.tally();
    total.steps += tally.steps;
    total.tokens += tally.tokens;
    total.preemptions += tally.preemptions;
    total.cached_tokens += tally.cached_tokens;
    total.copies += tally.copies;
    total.refused += tally.refused;
    total.pauses += tally.pauses;
    for (const auto& [reason, count] : tally.ends) total.ends[reason] += count;
  }
  std::cout << "steps " << total.steps << ", tokens " << total.tokens << ", preemptions "
            << total.preemptions << ", cached tokens " << total.cached_tokens << ", copies "
            << total.copies << ", refused " << total.refused << ", pauses " << total.pauses
            << ", ends";
  for (const auto& [reason, count] : total.ends)
    std::cout << ' ' << static_cast<int>(reason) << ':' << count;
  std::cout << '\n';
  // The load must reach every corner, or the checks prove nothing.
  EXPECT_GT(total.preemptions, 0u);
  EXPECT_GT(total.cached_tokens, 0u);
  EXPECT_GT(total.copies, 0u);
  EXPECT_GT(total.refused, 0u);
  EXPECT_GT(total.pauses, 0u);
  EXPECT_EQ(total.ends.size(), 6u);
}

TEST(Simulation, OneSeedIsOneRun) {
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    Simulation first(seed, kRequests);
    Simulation second(seed, kRequests);
    ASSERT_EQ(first.run(), "");
    ASSERT_EQ(second.run(), "");
    EXPECT_EQ(first.tally().plans_hash, second.tally().plans_hash);
  }
}

}  // namespace
}  // namespace pippin::engine::testing
