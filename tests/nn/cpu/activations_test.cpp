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
  const float peaks[] = {0,        1e-35f, 1.01e-35f, 1e-38f, 1.6e32f,
                         0x1p100f, 127,    128,       120,    127.0f / 64};
  for (int64_t g = 1; g < groups; g += 2) {
    float* group = x.data() + 32 * g;
    const auto kind = static_cast<size_t>(g / 2);
    // Beyond the listed ones, powers of two times 120 / 64 and its neighbours, where the scale
    // doubles.
    const auto neighbour = static_cast<int32_t>(kind % 5) - 2;
    const float most =
        kind < std::size(peaks)
            ? peaks[kind]
            : std::ldexp(bits_to_float(0x3ff00000u + static_cast<uint32_t>(neighbour)),
                         static_cast<int>(kind % 220) - 113);
    for (int i = 0; i < 32; ++i) group[i] *= most / 64;
    group[g % 32] = g % 4 == 1 ? most : -most;
  }
  // A block whose magnitudes add up to more than twins may have.
  for (int64_t i = 0; groups > 8 && i < 256; ++i) {
    float& value = x[static_cast<size_t>(groups * 32 - 1 - i)];
    value = i % 3 == 0 ? -1 + value / 256 : 1 - value / 256;
  }
  return x;
}

// Where paired sums begin, by the products that they add for codes of activations alone.
void expect_paired_starts(const ActSubBlocks16& x) {
  for (int g = 0; g < 2; ++g) {
    for (int h = 0; h < 2; ++h) {
      const auto code = [&](int column) {  // of the half; four of each in turns
        return x.q[32 * g + column / 4 * 8 + 4 * h + column % 4];
      };
      int32_t start = x.start[g][h];
      for (int i = 0; i < kPairedOfHalf; ++i)
        start -= code(i) * code(i + 8) + kUnsignedOfHalf * code(i) - kSignedOfHalf * code(i + 8);
      ASSERT_EQ(x.paired_start[g][h], start) << "group " << g << " half " << h;
    }
  }
}

TEST(Activations, EveryPathQuantisesThemAlike) {
  for (const ActQuantisation form : {ActQuantisation::kGroups, ActQuantisation::kPowerOfTwoScales,
                                     ActQuantisation::kTwins, ActQuantisation::kSubBlocks16}) {
    for (const int64_t groups : {1, 2, 4, 7, 8, 9, 18, 48, 4000}) {
      if (form != ActQuantisation::kGroups && groups % 8 != 0) continue;
      const std::vector<float> x = groups_of_all_kinds(groups);
      for (const int64_t stride : {1, 3}) {
        const auto run = [&](Isa isa) {
          const LinearKernels& path = kernels(isa).linear;
          std::vector<ActGroup> out(static_cast<size_t>(groups * stride));
          std::memset(static_cast<void*>(out.data()), 0x55, out.size() * sizeof(ActGroup));
          std::vector<ActGroupPair> twins(static_cast<size_t>((groups + 1) / 2 * stride));
          std::memset(static_cast<void*>(twins.data()), 0x55, twins.size() * sizeof(ActGroupPair));
          std::vector<ActSubBlocks16> halves(static_cast<size_t>((groups + 1) / 2 * stride));
          std::vector<ActSums> sums(static_cast<size_t>((groups + 7) / 8 * stride));
          path.quantizer(form)(
              x.data(), groups,
              {out.data(), twins.data(), halves.data(), sums.data(), static_cast<int>(stride)});
          return std::tuple(out, twins, halves, sums);
        };
        const auto [want, want_twins, want_halves, want_sums] = run(Isa::kPortable);
        for (const ActSubBlocks16& halves : want_halves) expect_paired_starts(halves);
        for (const Isa isa : available_isas()) {
          const auto [got, got_twins, got_halves, got_sums] = run(isa);
          ASSERT_EQ(std::memcmp(got_halves.data(), want_halves.data(),
                                got_halves.size() * sizeof(ActSubBlocks16)),
                    0)
              << isa_name(isa) << " halves of " << groups << " groups";
          ASSERT_EQ(std::memcmp(got_twins.data(), want_twins.data(),
                                got_twins.size() * sizeof(ActGroupPair)),
                    0)
              << isa_name(isa) << " twins of " << groups << " groups";
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
