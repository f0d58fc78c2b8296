#include "nn/cpu/activations.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "nn/cpu/kernels.h"
#include "nn/cpu/random_weights.h"

namespace pippin::nn::cpu {
namespace {

using namespace test;

// Groups of each kind that a quantiser may treat in its own way.
std::vector<float> groups_of_all_kinds(int64_t groups) {
  std::vector<float> x = random_floats(static_cast<size_t>(groups * 32), 3);
  const float maxima[] = {0,        1e-35f, 1.01e-35f, 1e-38f, 1.6e32f,
                          0x1p100f, 127,    128,       120,    127.0f / 64};
  for (int64_t g = 1; g < groups; g += 2) {
    float* group = x.data() + 32 * g;
    const auto kind = static_cast<size_t>(g / 2);
    // Beyond the listed ones, powers of two times 120 / 64 and its neighbours, where the scale
    // doubles.
    const auto neighbour = static_cast<int32_t>(kind % 5) - 2;
    const float most =
        kind < std::size(maxima)
            ? maxima[kind]
            : std::ldexp(bits_to_float(0x3ff00000u + static_cast<uint32_t>(neighbour)),
                         static_cast<int>(kind % 220) - 113);
    for (int i = 0; i < 32; ++i) group[i] *= most / 64;
    group[g % 32] = g % 4 == 1 ? most : -most;
  }
  // A block whose magnitudes add up to more than group pairs may have.
  for (int64_t i = 0; groups > 8 && i < 256; ++i) {
    float& value = x[static_cast<size_t>(groups * 32 - 1 - i)];
    value = i % 3 == 0 ? -1 + value / 256 : 1 - value / 256;
  }
  return x;
}

// The initial accumulators of Winograd inner products, from the products of activation codes alone.
void expect_winograd_starts(const ActSubBlocks16& x) {
  for (int g = 0; g < 2; ++g) {
    for (int h = 0; h < 2; ++h) {
      const auto code = [&](int column) {  // of the half; four of each in turns
        return x.q[32 * g + column / 4 * 8 + 4 * h + column % 4];
      };
      int32_t start = x.start[g][h];
      for (int i = 0; i < kSubBlockWinogradColumns; ++i)
        start -= code(i) * code(i + 8) + kSubBlockUnsignedOffset * code(i) -
                 kSubBlockSignedOffset * code(i + 8);
      ASSERT_EQ(x.winograd_start[g][h], start) << "group " << g << " half " << h;
    }
  }
}

TEST(Activations, EveryPathQuantisesThemAlike) {
  for (const ActQuantisation form : {ActQuantisation::kGroups, ActQuantisation::kPowerOfTwoScales,
                                     ActQuantisation::kGroupPairs, ActQuantisation::kSubBlocks16}) {
    for (const int64_t groups : {1, 2, 4, 7, 8, 9, 18, 48, 4000}) {
      if (form != ActQuantisation::kGroups && groups % 8 != 0) continue;
      const std::vector<float> x = groups_of_all_kinds(groups);
      for (const int64_t stride : {1, 3}) {
        const auto run = [&](Isa isa) {
          const LinearKernels& path = kernels(isa).linear;
          std::vector<ActGroup> out(static_cast<size_t>(groups * stride));
          std::memset(static_cast<void*>(out.data()), 0x55, out.size() * sizeof(ActGroup));
          std::vector<ActGroupPair> group_pairs(static_cast<size_t>((groups + 1) / 2 * stride));
          std::memset(static_cast<void*>(group_pairs.data()), 0x55,
                      group_pairs.size() * sizeof(ActGroupPair));
          std::vector<ActSubBlocks16> sub_blocks(static_cast<size_t>((groups + 1) / 2 * stride));
          std::vector<BlockSums> sums(static_cast<size_t>((groups + 7) / 8 * stride));
          path.quantizer(form)(x.data(), groups,
                               {out.data(), group_pairs.data(), sub_blocks.data(), sums.data(),
                                static_cast<int>(stride)});
          return std::tuple(out, group_pairs, sub_blocks, sums);
        };
        const auto [want, want_pairs, want_sub_blocks, want_sums] = run(Isa::kPortable);
        for (const ActSubBlocks16& sub_blocks : want_sub_blocks) expect_winograd_starts(sub_blocks);
        for (const Isa isa : available_isas()) {
          const auto [got, got_pairs, got_sub_blocks, got_sums] = run(isa);
          ASSERT_EQ(std::memcmp(got_sub_blocks.data(), want_sub_blocks.data(),
                                got_sub_blocks.size() * sizeof(ActSubBlocks16)),
                    0)
              << isa_name(isa) << " sub-blocks of " << groups << " groups";
          ASSERT_EQ(std::memcmp(got_pairs.data(), want_pairs.data(),
                                got_pairs.size() * sizeof(ActGroupPair)),
                    0)
              << isa_name(isa) << " group pairs of " << groups << " groups";
          for (size_t b = 0; b < got_sums.size(); ++b) {
            ASSERT_TRUE(std::ranges::equal(got_sums[b].pairs, want_sums[b].pairs)) << b;
            ASSERT_EQ(got_sums[b].scale, want_sums[b].scale) << b;
          }
          for (size_t g = 0; g < got.size(); ++g) {
            ASSERT_EQ(std::memcmp(&got[g], &want[g], sizeof(ActGroup)), 0)
                << isa_name(isa) << " group " << g << " of " << groups << " form "
                << static_cast<int>(form) << " scale " << got[g].scale << " " << want[g].scale;
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace pippin::nn::cpu
