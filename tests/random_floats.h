// Random values for tests, the same in each run.
#pragma once

#include <cstddef>
#include <cstdint>
#include <random>
#include <vector>

namespace pippin::test {

/// Returns normally distributed values of this standard deviation.
inline std::vector<float> random_floats(size_t count, uint32_t seed, float scale = 1,
                                        float mean = 0) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(mean, scale);
  std::vector<float> out(count);
  for (float& v : out) v = normal(random);
  return out;
}

}  // namespace pippin::test
