// Cuts attention over compressed keys and values into tasks: a token's queries of a few heads.
#include "nn/cpu/latent.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "base/check.h"
#include "nn/cpu/kernels.h"
#include "nn/cpu/rope_angles.h"

namespace pippin::nn::cpu {
namespace {

// A token of a row.
struct Place {
  const AttentionRow* row;
  int token;
};

// Turns the shared key and keeps the position.
void keep(const Kernels& path, const LatentArgs& args, int64_t token) {
  const int width = args.width();
  std::vector<float> row(args.kv + token * width, args.kv + (token + 1) * width);
  RopeAngles angles;
  angles.compute(path.norm_rope, args.positions[token], args.rope);
  path.norm_rope.rotate(row.data() + args.rank, args.rope.dims / 2, args.rope.interleaved,
                        angles.cosine.data(), angles.sine.data());
  path.norm_rope.store_half(row.data(), width, 1, args.cache + args.slots[token] * int64_t{width});
}

void attend(const Kernels& path, const LatentArgs& args, const Place& place, int head) {
  const int heads = std::min(kLatentHeads, args.heads - head), each = args.plain + args.rope.dims;
  const int64_t token = place.row->row + place.token;
  const int positions = place.row->start + place.token + 1;
  const int padded = (positions + 15) / 16 * 16;
  static thread_local std::vector<float> memory;
  const size_t needed =
      static_cast<size_t>(heads) * static_cast<size_t>(each + args.width() + padded);
  if (memory.size() < needed) memory.resize(needed);
  float* q = memory.data();
  float* wide = q + heads * each;
  std::memcpy(q, args.q + (token * args.heads + head) * each,
              static_cast<size_t>(heads * each) * sizeof(float));
  RopeAngles angles;
  angles.compute(path.norm_rope, args.positions[token], args.rope);
  for (int h = 0; h < heads; ++h)
    path.norm_rope.rotate(q + h * each + args.plain, args.rope.dims / 2, args.rope.interleaved,
                          angles.cosine.data(), angles.sine.data());
  path.latent.attend({.args = &args,
                      .blocks = place.row->blocks,
                      .positions = positions,
                      .head = head,
                      .heads = heads,
                      .q = q,
                      .wide = wide,
                      .scores = wide + heads * args.width(),
                      .out = args.out + (token * args.heads + head) * args.value});
}

}  // namespace

void latent_attention(const Kernels& path, const LatentArgs& args, ThreadPool& pool) {
  CHECK(args.rank % 16 == 0 && args.plain % 16 == 0 && args.value % 16 == 0 &&
            args.width() % 16 == 0 && args.rope.dims <= kHeadDimMax,
        "the loader checks sizes");
  std::vector<Place> places;
  for (const AttentionRow& row : args.rows)
    for (int token = 0; token < row.tokens; ++token) places.push_back({&row, token});
  for (const Place& place : places) keep(path, args, place.row->row + place.token);
  const int groups = (args.heads + kLatentHeads - 1) / kLatentHeads;
  pool.run(static_cast<int>(places.size()) * groups, [&](int task, int) {
    // The last tokens see most: they come first.
    const size_t place = places.size() - 1 - static_cast<size_t>(task / groups);
    attend(path, args, places[place], task % groups * kLatentHeads);
  });
}

}  // namespace pippin::nn::cpu
