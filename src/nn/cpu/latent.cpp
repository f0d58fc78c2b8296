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

// Cosines and sines of each token of a step.
class Turns {
 public:
  Turns(int64_t tokens, const RopeParams& rope)
      : rope_(rope), values_(static_cast<size_t>(tokens * 2 * rope.dims)) {}
  void compute(const Kernels& path, int64_t token, int position) {
    RopeAngles angles;
    angles.compute(path.norm_rope, position, rope_);
    float* at = values_.data() + token * 2 * rope_.dims;
    const int count = rope_.interleaved ? rope_.dims : rope_.dims / 2;
    std::copy_n(angles.cosine.data(), count, at);
    std::copy_n(angles.sine.data(), count, at + rope_.dims);
  }
  void rotate(const Kernels& path, int64_t token, float* head) const {
    const float* at = values_.data() + token * 2 * rope_.dims;
    path.norm_rope.rotate(head, rope_.dims / 2, rope_.interleaved, at, at + rope_.dims);
  }

 private:
  const RopeParams& rope_;
  std::vector<float> values_;
};

// Turns the shared key and keeps the position.
void keep(const Kernels& path, const LatentArgs& args, const Turns& turns, int64_t token) {
  const int width = args.width();
  std::vector<float> row(args.kv + token * width, args.kv + (token + 1) * width);
  turns.rotate(path, token, row.data() + args.rank);
  path.norm_rope.store_half(row.data(), width, 1, args.cache + args.slots[token] * int64_t{width});
}

void attend(const Kernels& path, const LatentArgs& args, const Turns& turns, const Place& place,
            int head) {
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
  for (int h = 0; h < heads; ++h) turns.rotate(path, token, q + h * each + args.plain);
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
  // Tokens of a step are numbered through; those of no row come last.
  const int64_t tokens = places.empty() ? 0 : places.back().row->row + places.back().token + 1;
  Turns turns(tokens, args.rope);
  for (const Place& place : places) {
    const int64_t token = place.row->row + place.token;
    turns.compute(path, token, args.positions[token]);
    keep(path, args, turns, token);
  }
  const int groups = (args.heads + kLatentHeads - 1) / kLatentHeads;
  pool.run(static_cast<int>(places.size()) * groups, [&](int task, int) {
    // The last tokens see most: they come first.
    const size_t place = places.size() - 1 - static_cast<size_t>(task / groups);
    attend(path, args, turns, places[place], task % groups * kLatentHeads);
  });
}

}  // namespace pippin::nn::cpu
