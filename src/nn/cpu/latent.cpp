// Cuts attention over compressed keys and values into tasks: a token's queries of a few heads. The
// positions that it covers are scored in tasks of their own.
#include "nn/cpu/latent.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
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

  int64_t index() const { return row->row + token; }
  int sees() const { return row->start + token + 1; }
};

std::vector<Place> places_of(std::span<const AttentionRow> rows) {
  std::vector<Place> places;
  for (const AttentionRow& row : rows)
    for (int token = 0; token < row.tokens; ++token) places.push_back({&row, token});
  return places;
}

// Cosines and sines of each token of a step.
class Turns {
 public:
  Turns(const Kernels& path, const std::vector<Place>& places, const int32_t* positions,
        const RopeParams& rope)
      : path_(path.norm_rope), rope_(rope) {
    // Tokens of a step are numbered through; those of no row come last.
    const int64_t tokens = places.empty() ? 0 : places.back().index() + 1;
    values_.resize(static_cast<size_t>(tokens * 2 * rope.dims));
    for (const Place& place : places) compute(place.index(), positions[place.index()]);
  }
  void rotate(int64_t token, float* head) const {
    const float* at = values_.data() + token * 2 * rope_.dims;
    path_.rotate(head, rope_.dims / 2, rope_.interleaved, at, at + rope_.dims);
  }

 private:
  void compute(int64_t token, int position) {
    RopeAngles angles;
    angles.compute(path_, position, rope_);
    float* at = values_.data() + token * 2 * rope_.dims;
    const int count = rope_.interleaved ? rope_.dims : rope_.dims / 2;
    std::copy_n(angles.cosine.data(), count, at);
    std::copy_n(angles.sine.data(), count, at + rope_.dims);
  }

  const NormRopeKernels& path_;
  const RopeParams& rope_;
  std::vector<float> values_;
};

// Where a token's values of a layer go, `width` of them.
template <typename Args>
uint16_t* slot(const Args& args, int64_t token, int width) {
  constexpr int kBlock = KvLayer::kBlock;
  return args.cache + args.slots[token] / kBlock * args.block_values +
         args.slots[token] % kBlock * width;
}

// Turns the shared key and keeps the position.
void keep(const Kernels& path, const LatentArgs& args, const Turns& turns, int64_t token) {
  const int width = args.width();
  std::vector<float> row(args.kv + token * width, args.kv + (token + 1) * width);
  turns.rotate(token, row.data() + args.rank);
  path.norm_rope.store_half(row.data(), width, 1, slot(args, token, width));
}

void attend(const Kernels& path, const LatentArgs& args, const Turns& turns, const Place& place,
            int head) {
  const int heads = std::min(kLatentHeads, args.heads - head), each = args.plain + args.rope.dims;
  const int64_t token = place.index();
  const bool selects = args.selected != nullptr && place.sees() > args.top;
  const int positions = selects ? args.top : place.sees();
  const int padded = (positions + 15) / 16 * 16;
  static thread_local std::vector<float> memory;
  const size_t needed =
      static_cast<size_t>(heads) * static_cast<size_t>(each + args.width() + padded);
  if (memory.size() < needed) memory.resize(needed);
  float* q = memory.data();
  float* wide = q + heads * each;
  std::memcpy(q, args.q + (token * args.heads + head) * each,
              static_cast<size_t>(heads * each) * sizeof(float));
  for (int h = 0; h < heads; ++h) turns.rotate(token, q + h * each + args.plain);
  path.latent.attend({.args = &args,
                      .blocks = place.row->blocks,
                      .selected = selects ? args.selected + token * args.top : nullptr,
                      .positions = positions,
                      .head = head,
                      .heads = heads,
                      .q = q,
                      .wide = wide,
                      .scores = wide + heads * args.width(),
                      .out = args.out + (token * args.heads + head) * args.value});
}

constexpr int kScoredPositions = 1024;   // of a task
constexpr int64_t kScoresMax = 1 << 22;  // kept at a time, but for one token's

// Some tokens' scores, one behind the other: memory does not grow with a step's tokens.
class Selection {
 public:
  Selection(const Kernels& path, const IndexArgs& args, const Turns& turns, ThreadPool& pool)
      : path_(path), args_(args), turns_(turns), pool_(pool) {}

  void add(const Place& place, int32_t* out) {
    if (!choices_.empty() && total_ + place.sees() > kScoresMax) run();
    for (int first = 0; first < place.sees(); first += kScoredPositions)
      pieces_.push_back({choices_.size(), first});
    choices_.push_back({place, total_, out});
    total_ += place.sees();
  }
  void run() {
    scores_.resize(static_cast<size_t>(total_));
    pool_.run(static_cast<int>(pieces_.size()),
              [&](int i, int) { score(pieces_[static_cast<size_t>(i)]); });
    pool_.run(static_cast<int>(choices_.size()),
              [&](int i, int) { choose(choices_[static_cast<size_t>(i)]); });
    pieces_.clear();
    choices_.clear();
    total_ = 0;
  }

 private:
  struct Choice {
    Place place;
    int64_t scores;  // where they begin
    int32_t* out;
  };
  struct Piece {
    size_t choice;
    int first;  // position
  };

  void score(const Piece& piece) {
    const Choice& choice = choices_[piece.choice];
    const int64_t token = choice.place.index(), width = int64_t{args_.heads} * args_.dim;
    static thread_local std::vector<float> q;
    q.assign(args_.q + token * width, args_.q + (token + 1) * width);
    for (int h = 0; h < args_.heads; ++h) turns_.rotate(token, q.data() + h * args_.dim);
    path_.latent.index_scores({.args = &args_,
                               .blocks = choice.place.row->blocks,
                               .first = piece.first,
                               .end = std::min(choice.place.sees(), piece.first + kScoredPositions),
                               .q = q.data(),
                               .weights = args_.weights + token * args_.heads,
                               .scores = scores_.data() + choice.scores + piece.first});
  }

  // Which positions are the best does not depend on how they are found: no two are equal.
  void choose(const Choice& choice) {
    float* scores = scores_.data() + choice.scores;
    static thread_local std::vector<int32_t> order;
    order.resize(static_cast<size_t>(choice.place.sees()));
    std::iota(order.begin(), order.end(), 0);
    for (const int32_t p : order)
      if (std::isnan(scores[p])) scores[p] = -std::numeric_limits<float>::infinity();
    std::nth_element(order.begin(), order.begin() + args_.top - 1, order.end(),
                     [&](int32_t a, int32_t b) {
                       return scores[a] > scores[b] || (scores[a] == scores[b] && a < b);
                     });
    std::copy_n(order.begin(), args_.top, choice.out);
    std::sort(choice.out, choice.out + args_.top);
  }

  const Kernels& path_;
  const IndexArgs& args_;
  const Turns& turns_;
  ThreadPool& pool_;
  std::vector<Choice> choices_;
  std::vector<Piece> pieces_;
  std::vector<float> scores_;
  int64_t total_ = 0;
};

}  // namespace

bool needs_selection(const IndexArgs& args) {
  return std::ranges::any_of(
      args.rows, [&](const AttentionRow& row) { return row.start + row.tokens > args.top; });
}

void select_positions(const Kernels& path, const IndexArgs& args, ThreadPool& pool, int32_t* out) {
  CHECK(args.dim % 16 == 0 && args.rope.dims <= args.dim && args.top > 0,
        "the loader checks sizes");
  const std::vector<Place> places = places_of(args.rows);
  const Turns turns(path, places, args.positions, args.rope);
  std::vector<float> key(static_cast<size_t>(args.dim));
  for (const Place& place : places) {
    const int64_t token = place.index();
    std::copy_n(args.k + token * args.dim, args.dim, key.begin());
    turns.rotate(token, key.data());
    path.norm_rope.store_half(key.data(), args.dim, 1, slot(args, token, args.dim));
  }
  if (out == nullptr) return;
  Selection selection(path, args, turns, pool);
  for (const Place& place : places) {
    int32_t* chosen = out + place.index() * args.top;
    if (place.sees() > args.top)
      selection.add(place, chosen);
    else
      std::iota(chosen, chosen + args.top, 0);
  }
  selection.run();
}

void latent_attention(const Kernels& path, const LatentArgs& args, ThreadPool& pool) {
  CHECK(args.rank % 16 == 0 && args.plain % 16 == 0 && args.value % 16 == 0 &&
            args.width() % 16 == 0 && args.rope.dims <= kHeadDimMax,
        "the loader checks sizes");
  const std::vector<Place> places = places_of(args.rows);
  const Turns turns(path, places, args.positions, args.rope);
  for (const Place& place : places) keep(path, args, turns, place.index());
  const int groups = (args.heads + kLatentHeads - 1) / kLatentHeads;
  pool.run(static_cast<int>(places.size()) * groups, [&](int task, int) {
    // The last tokens see most: they come first.
    const size_t place = places.size() - 1 - static_cast<size_t>(task / groups);
    attend(path, args, turns, places[place], task % groups * kLatentHeads);
  });
}

}  // namespace pippin::nn::cpu
