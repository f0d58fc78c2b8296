// Philox: the counter-based random numbers of sampling. Stateless: a number is a function of (seed,
// index, draw) alone, so a row's draws depend neither on its neighbours nor on what was drawn
// before. Thread: any.
#pragma once

#include <array>
#include <cstdint>

namespace pippin::engine::sampling {

/// Returns the four words of one Philox4x32-10 block.
/// Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
constexpr std::array<uint32_t, 4> philox4x32(std::array<uint32_t, 4> counter,
                                             std::array<uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t product0 = uint64_t{0xD2511F53} * counter[0];
    const uint64_t product1 = uint64_t{0xCD9E8D57} * counter[2];
    counter = {static_cast<uint32_t>(product1 >> 32) ^ counter[1] ^ key[0],
               static_cast<uint32_t>(product1),
               static_cast<uint32_t>(product0 >> 32) ^ counter[3] ^ key[1],
               static_cast<uint32_t>(product0)};
    key[0] += 0x9E3779B9;
    key[1] += 0xBB67AE85;
  }
  return counter;
}

/// What a draw is for; each has numbers of its own.
enum class Draw : uint32_t { kToken = 0, kXtc = 1 };

/// Returns a number in [0, 1) with 53 random bits, for the token at `index` of the answer.
constexpr double uniform(uint64_t seed, uint32_t index, Draw draw) {
  const auto words = philox4x32({index, static_cast<uint32_t>(draw), 0, 0},
                                {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)});
  const uint64_t bits = (uint64_t{words[0]} << 32 | words[1]) >> 11;
  return static_cast<double>(bits) * 0x1.0p-53;
}

}  // namespace pippin::engine::sampling
