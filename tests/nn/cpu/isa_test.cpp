#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include "nn/cpu/kernels.h"
#include "nn/cpu/random_weights.h"

namespace pippin::nn::cpu {
namespace {

using namespace test;

TEST(Isa, CanBeForced) {
  setenv("PIPPIN_CPU_ISA", "portable", 1);
  EXPECT_EQ(*select_isa(), Isa::kPortable);
  setenv("PIPPIN_CPU_ISA", "sse9", 1);
  EXPECT_FALSE(select_isa().ok());
  unsetenv("PIPPIN_CPU_ISA");
  EXPECT_TRUE(select_isa().ok());
}

// A test run that names the machine's best path would otherwise pass on the oracle alone.
TEST(Isa, TheBestOfThisMachineIsChosen) {
  const char* best = std::getenv("PIPPIN_TEST_BEST_ISA");
  if (best == nullptr) GTEST_SKIP() << "PIPPIN_TEST_BEST_ISA does not say what to expect";
  const Result<Isa> chosen = select_isa();
  ASSERT_TRUE(chosen.ok());
  EXPECT_EQ(isa_name(*chosen), std::string(best));
  EXPECT_EQ(&default_kernels(), &kernels(*chosen));
}

TEST(Isa, AForcedPathThatThisMachineLacksIsRefused) {
  for (Isa isa : {Isa::kAvx2, Isa::kAvx512, Isa::kAvx512Vnni, Isa::kAvx2Vnni, Isa::kNeonDot,
                  Isa::kAvx512Zen}) {
    if (isa_available(isa)) continue;
    setenv("PIPPIN_CPU_ISA", isa_name(isa), 1);
    const Result<Isa> chosen = select_isa();
    unsetenv("PIPPIN_CPU_ISA");
    ASSERT_FALSE(chosen.ok()) << isa_name(isa);
    EXPECT_EQ(chosen.error().code, Code::kUnsupported);
  }
}

}  // namespace
}  // namespace pippin::nn::cpu
