// One KV split of paged attention, written once over the vector vocabulary of a simd_*-inl.h file.
// Included inside an unnamed namespace by one .cpp file per instruction set; hence no includes
// here.
//
// A query row's operations and their order do not depend on what shares its tile. Scores are summed
// over d in order, values over positions in order. Positions that a row does not see are skipped:
// their memory may hold anything.
//
// f16 keys and values are widened. int8 keys are multiplied by int8 queries as a Q8_0 tile is by
// activations (tile-inl.h). The scales of int8 values are multiplied into the weights, which are
// rounded to 15 bits for each block and group. A block's sums are of integers:
//   out = fma(sum, unit, out)

constexpr float kMasked = -3.0e38f;

struct Span {
  int begin, end;  // positions
};

/// The positions of a split that a query at `position` sees.
inline Span visible(const AttentionTile& tile, int split, int position) {
  Span span{split * kKvSplit, (split + 1) * kKvSplit};
  if (position + 1 < span.end) span.end = position + 1;
  const int first = first_visible(position, tile.window, tile.chunk);
  if (first > span.begin) span.begin = first;
  return span;
}

inline const uint8_t* key_block(const AttentionTile& tile, int block) {
  return tile.k + tile.blocks[block] * tile.block_stride;
}
inline const uint16_t* key_f16(const AttentionTile& tile, int block) {
  return reinterpret_cast<const uint16_t*>(key_block(tile, block));
}
inline const uint8_t* value_block(const AttentionTile& tile, int block) {
  return tile.v + tile.blocks[block] * tile.block_stride;
}

/// Groups of 32 dims that share a scale in int8 KV.
inline int kv_groups(int head_dim) { return (head_dim + kGroup - 1) / kGroup; }

/// Scores of kRows query rows times kBlocks blocks. With few rows, several blocks hide the sums'
/// latency.
template <int kRows, int kBlocks>
inline void score_tile(const float* q, const uint16_t* const* keys, int head_dim, float* scores) {
  F acc[kRows][kBlocks];
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int b = 0; b < kBlocks; ++b) acc[r][b] = f_zero();
  }
  for (int d = 0; d < head_dim; ++d) {
    F key[kBlocks];
#pragma GCC unroll 4
    for (int b = 0; b < kBlocks; ++b) key[b] = f_from_half(keys[b] + 16 * d);
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
      for (int b = 0; b < kBlocks; ++b)
        acc[r][b] = f_fma(key[b], f_set1(q[d * kQueryRowsMax + r]), acc[r][b]);
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int b = 0; b < kBlocks; ++b) f_store(scores + r * kKvSplit + 16 * b, acc[r][b]);
  }
}

template <int kRows>
inline int score_rows(const AttentionTile& tile, int row, int rows, int block, float* scores) {
  const uint16_t* key = key_f16(tile, block);
  for (; row + kRows <= rows; row += kRows) {
    score_tile<kRows, 1>(tile.q + row, &key, tile.head_dim, scores + row * kKvSplit);
  }
  return row;
}

/// Scores of all rows against one block. scores: [rows, kKvSplit] at the block's first position.
inline void score_block(const AttentionTile& tile, int rows, int block, float* scores) {
  int row = score_rows<kScoreRows>(tile, 0, rows, block, scores);
  if constexpr (kScoreRows > 6) row = score_rows<6>(tile, row, rows, block, scores);
  if constexpr (kScoreRows > 4) row = score_rows<4>(tile, row, rows, block, scores);
  row = score_rows<2>(tile, row, rows, block, scores);
  score_rows<1>(tile, row, rows, block, scores);
}

/// The same for kScoreBlocks blocks at once and few rows.
inline void score_blocks(const AttentionTile& tile, int rows, int block, float* scores) {
  const uint16_t* keys[kScoreBlocks];
  for (int b = 0; b < kScoreBlocks; ++b) keys[b] = key_f16(tile, block + b);
  int row = 0;
  const auto step = [&]<int kRows>() {
    for (; row + kRows <= rows; row += kRows) {
      score_tile<kRows, kScoreBlocks>(tile.q + row, keys, tile.head_dim, scores + row * kKvSplit);
    }
  };
  if constexpr (kScoreRows > 6) {
    step.template operator()<4>();
    step.template operator()<3>();
  }
  step.template operator()<2>();
  step.template operator()<1>();
}

/// Scores of kRows query rows against one block of int8 keys.
template <int kRows>
inline void score_tile_int8(const AttentionTile& tile, const uint8_t* keys, int row,
                            float* scores) {
  using S = Scales<ScaleKind::kHalf>;
  const int groups = kv_groups(tile.head_dim);
  const WTable table = w_table(kCodebook<TensorType::kQ8_0>);  // not looked into
  F acc[kRows];
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) acc[r] = f_zero();
  for (int g = 0; g < groups; ++g) {
    const S scales(keys + groups * kGroupCodes + 32 * g);
    const GroupCodes<TensorType::kQ8_0, false> codes(keys + g * kGroupCodes, table);
    group_products<TensorType::kQ8_0, kRows>(codes, GroupScales<S>(scales, 0),
                                             tile.q8 + g * tile.rows + row, acc);
  }
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) f_store(scores + (row + r) * kKvSplit, acc[r]);
}

inline void score_block_int8(const AttentionTile& tile, int rows, int block, float* scores) {
  const uint8_t* keys = key_block(tile, block);
  int row = 0;
  const auto step = [&]<int kRows>() {
    for (; row + kRows <= rows; row += kRows) score_tile_int8<kRows>(tile, keys, row, scores);
  };
  if constexpr (kPassRows >= 16) step.template operator()<16>();
  if constexpr (kPassRows >= 8) step.template operator()<8>();
  if constexpr (kPassRows >= 4) {
    step.template operator()<4>();
    step.template operator()<3>();
  }
  step.template operator()<2>();
  step.template operator()<1>();
}

/// Scores blocks from `block` on; `at` is the place of its first position. Returns how many.
template <KvType kType, typename RowsOf>
inline int score_some(const AttentionTile& tile, int block, int end, const RowsOf& rows_of,
                      float* at) {
  const int rows = rows_of(block);
  if constexpr (kType == KvType::kInt8) {
    score_block_int8(tile, rows, block, at);
  } else if (rows <= 4 && block + kScoreBlocks <= end &&
             rows_of(block + kScoreBlocks - 1) == rows) {
    score_blocks(tile, rows, block, at);
    return kScoreBlocks;
  } else {
    score_block(tile, rows, block, at);
  }
  return 1;
}

/// Turns the scores of one row into weights. Returns their sum; `row_max` gets the largest score.
inline float weigh_row(const AttentionTile& tile, Span span, int origin, float* scores,
                       float& row_max) {
  const int first = span.begin / 16 * 16;
  const int last = (span.end + 15) / 16 * 16;
  for (int p = first; p < span.begin; ++p) scores[p - origin] = kMasked;
  for (int p = span.end; p < last; ++p) scores[p - origin] = kMasked;
  F largest = f_set1(kMasked);
  for (int p = first; p < last; p += 16) {
    F s = f_load(scores + p - origin);
    if (tile.soft_cap > 0) {  // cap * tanh(s / cap) = cap - 2 cap / (exp(2 s / cap) + 1)
      const F e = f_exp(f_mul(s, f_set1(2.0f / tile.soft_cap)));
      const F capped =
          f_sub(f_set1(tile.soft_cap), f_div(f_set1(2.0f * tile.soft_cap), f_add(e, f_set1(1.0f))));
      f_store(scores + p - origin, capped);
      for (int masked = p; masked < p + 16; ++masked) {
        if (masked < span.begin || masked >= span.end) scores[masked - origin] = kMasked;
      }
      s = f_load(scores + p - origin);
    }
    largest = f_max(largest, s);
  }
  row_max = f_reduce_max(largest);
  const F shift = f_set1(row_max);
  F sum = f_zero();
  for (int p = first; p < last; p += 16) {
    const F weight = f_exp(f_sub(f_load(scores + p - origin), shift));
    f_store(scores + p - origin, weight);
    sum = f_add(sum, weight);
  }
  return f_reduce_add(sum);
}

/// Vectors of dims that sums of `rows` rows take at a time, beside the values themselves.
constexpr int value_vectors(int rows) {
  if (4 * rows + 4 < kRegisters) return 4;
  return 2 * rows + 2 < kRegisters ? 2 : 1;
}

/// The values of neighbouring blocks. A few rows go over all of them with sums in registers.
struct BlockRun {
  BlockRun(const AttentionTile& tile, int first_block, int end)
      : first(first_block), blocks(end - first_block) {
    for (int i = 0; i < blocks; ++i) values[i] = value_block(tile, first + i);
  }
  int first, blocks;
  const uint8_t* values[kKvSplit / 16];
};

/// out [kRows, D] += weights [kRows] over the positions of a run in `span`, for kVectors * 16 dims
/// from d on.
template <int kRows, int kVectors>
inline void value_tile(const float* weights, const BlockRun& run, Span span, int d, int head_dim,
                       float* out) {
  F acc[kRows][kVectors];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int i = 0; i < kVectors; ++i) acc[r][i] = f_load(out + r * head_dim + d + 16 * i);
  }
  for (int p = span.begin; p < span.end;) {
    const auto* at = reinterpret_cast<const uint16_t*>(run.values[p / 16]) + p % 16 * head_dim + d;
    const int block_end = p / 16 * 16 + 16;
    const int end = span.end < block_end ? span.end : block_end;
    for (; p < end; ++p, at += head_dim) {
      F value[kVectors];
#pragma GCC unroll 4
      for (int i = 0; i < kVectors; ++i) value[i] = f_from_half(at + 16 * i);
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
        for (int i = 0; i < kVectors; ++i)
          acc[r][i] = f_fma(value[i], f_set1(weights[r * kKvSplit + p]), acc[r][i]);
      }
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int i = 0; i < kVectors; ++i) f_store(out + r * head_dim + d + 16 * i, acc[r][i]);
  }
}

template <int kRows>
inline void value_rows(const float* weights, const BlockRun& run, Span span, int head_dim,
                       float* out) {
  constexpr int kVectors = value_vectors(kRows);
  int d = 0;
  for (; d + 16 * kVectors <= head_dim; d += 16 * kVectors)
    value_tile<kRows, kVectors>(weights, run, span, d, head_dim, out);
  for (; d < head_dim; d += 16) value_tile<kRows, 1>(weights, run, span, d, head_dim, out);
}

/// The scales of one group at the positions of an int8 block in `span`, elsewhere 0.
inline F seen_scales(const uint8_t* block, int groups, int group, Span span) {
  const auto* f16s = reinterpret_cast<const uint16_t*>(block + groups * kGroupCodes);
  const F scales = f_from_half(f16s + 16 * group);
  if (span.begin == 0 && span.end == 16) return scales;
  float lanes[16];
  f_store(lanes, scales);
  for (int p = 0; p < 16; ++p) {
    if (p < span.begin || p >= span.end) lanes[p] = 0;
  }
  return f_load(lanes);
}

/// The factors of one group's codes: weight * scale, rounded to 15 bits of the largest possible
/// one.
template <int kRows>
struct CodeWeights {
  CodeWeights(const float* weights, F scales) {
    const float most = f_reduce_max(scales);
    unit = most / 32767.0f;
    const F ratio = f_mul(scales, f_set1(most > kAmaxMin ? 32767.0f / most : 0.0f));
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r)
      i_store_s16(codes[r], i_round(f_mul(f_load(weights + r * kKvSplit), ratio)));
    // Loads broadcast pairs from memory. From registers the compiler would broadcast each pair
    // first and spill them.
    asm("" : "+m"(codes));
  }
  int32_t pair(int row, int index) const {
    int32_t two;
    __builtin_memcpy(&two, codes[row] + 2 * index, 4);
    return two;
  }

  float unit;
  alignas(64) int16_t codes[kRows][16];
};

/// out [kRows, D] += weights [kRows] over the codes of a block, for kVectors * 16 dims of one
/// group.
template <int kRows, int kVectors>
inline void value_tile_int8(const CodeWeights<kRows>& weights, const uint8_t* codes, int pair_bytes,
                            int head_dim, float* out) {
  I sum[kRows][kVectors];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 2
    for (int i = 0; i < kVectors; ++i) sum[r][i] = i_set1(0);
  }
  for (int pair = 0; pair < 8; ++pair) {
    W value[kVectors];
#pragma GCC unroll 2
    for (int i = 0; i < kVectors; ++i) value[i] = w_pairs_s8(codes + pair * pair_bytes + 32 * i);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 2
      for (int i = 0; i < kVectors; ++i)
        sum[r][i] = i_dpwssd_broadcast(sum[r][i], value[i], weights.pair(r, pair));
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 2
    for (int i = 0; i < kVectors; ++i) {
      float* to = out + r * head_dim + 16 * i;
      f_store(to, f_fma(f_from_int(sum[r][i]), f_set1(weights.unit), f_load(to)));
    }
  }
}

template <int kRows>
inline void value_rows_int8(const float* weights, const uint8_t* block, Span span, int head_dim,
                            float* out) {
  constexpr int kVectors = value_vectors(kRows) > 1 ? 2 : 1;  // of one group
  const int groups = kv_groups(head_dim);
  const int pair_bytes = 2 * groups * kGroup;
  for (int g = 0; g < groups; ++g) {
    const CodeWeights<kRows> scaled(weights, seen_scales(block, groups, g, span));
    int d = g * kGroup;
    const int end = d + kGroup < head_dim ? d + kGroup : head_dim;
    const auto tiles = [&]<int n>() {
      for (; d + 16 * n <= end; d += 16 * n)
        value_tile_int8<kRows, n>(scaled, block + 2 * d, pair_bytes, head_dim, out + d);
    };
    tiles.template operator()<kVectors>();
    if constexpr (kVectors > 1) tiles.template operator()<1>();
  }
}

/// Adds the values of a run to all rows that see them. weights: [rows, kKvSplit] at the run's
/// first position.
template <KvType kType>
inline void value_run(const AttentionTile& tile, int split, int rows, const BlockRun& run,
                      const float* weights, float* out) {
  const int origin = run.first * 16;
  const int length = run.blocks * 16;
  const auto clipped = [&](int row) {
    Span s = visible(tile, split, tile.first + row / tile.group);
    s.begin = s.begin > origin ? s.begin - origin : 0;
    s.end = s.end < origin + length ? s.end - origin : length;
    return s;
  };
  int row = 0;
  while (row < rows) {
    const Span span = clipped(row);
    // Rows of one tile take the fast way together while they see the same positions.
    int same = row + 1;
    while (same < rows && same < row + kValueRows) {
      const Span other = clipped(same);
      if (other.begin != span.begin || other.end != span.end) break;
      ++same;
    }
    const float* w = weights + row * kKvSplit;
    float* o = out + row * tile.head_dim;
    const auto take = [&]<int kRows>() {
      if constexpr (kType == KvType::kInt8)
        value_rows_int8<kRows>(w, run.values[0], span, tile.head_dim, o);
      else
        value_rows<kRows>(w, run, span, tile.head_dim, o);
      row += kRows;
    };
    const int count = same - row;
    if (count >= kValueRows) {
      take.template operator()<kValueRows>();
    } else if (kValueRows > 4 && count >= 4) {
      take.template operator()<4>();
    } else if (kValueRows > 3 && count == 3) {
      take.template operator()<3>();
    } else if (count >= 2) {
      take.template operator()<2>();
    } else {
      take.template operator()<1>();
    }
  }
}

/// Prefetches the split's KV into the second-level cache: keys some blocks ahead of their scores,
/// values while their keys are scored. The hardware cannot foresee it: slices of other heads lie
/// between those of one, and blocks lie anywhere.
class KvStream {
 public:
  KvStream(const AttentionTile& tile, int begin, int end)
      : tile_(tile), keys_(begin), values_(begin), end_(end) {}
  /// Requires: called before the scores of `block`.
  void prefetch_for(int block) {
    if (tile_.rows > kRowsFew) return;  // many rows compute for longer than they read
    for (; keys_ < end_ && keys_ < block + kBlocksAhead; ++keys_) prefetch(key_block(tile_, keys_));
    for (; values_ <= block; ++values_) prefetch(value_block(tile_, values_));
  }

 private:
  static constexpr int kRowsFew = 16;
  static constexpr int kBlocksAhead = 8;
  void prefetch(const uint8_t* slice) const {
    for (int64_t at = 0; at < tile_.head_bytes; at += 64) __builtin_prefetch(slice + at, 0, 2);
  }
  const AttentionTile& tile_;
  int keys_, values_, end_;
};

template <KvType kType>
void attention_split(const AttentionTile& tile, int split, float* scores,
                     const AttentionPart& part) {
  const int origin = split * kKvSplit;
  const int tokens = tile.rows / tile.group;
  const int begin =
      visible(tile, split, tile.first).begin / 16;  // the first query sees furthest back
  const int end =
      (visible(tile, split, tile.first + tokens - 1).end + 15) / 16;  // all end in the same block
  // With a window or a chunk, later queries do not see the first blocks: the rows of a block are a
  // prefix.
  const auto rows_of = [&](int block) {
    int n = tokens;
    while (n > 1 && visible(tile, split, tile.first + n - 1).begin >= 16 * (block + 1)) --n;
    return n * tile.group;
  };
  KvStream stream(tile, begin, end);
  for (int block = begin; block < end;) {
    stream.prefetch_for(block);
    block += score_some<kType>(tile, block, end, rows_of, scores + 16 * block - origin);
  }
  for (int row = 0; row < tile.rows; ++row) {
    const Span span = visible(tile, split, tile.first + row / tile.group);
    float* out = part.out + row * tile.head_dim;
    for (int d = 0; d < tile.head_dim; d += 16) f_store(out + d, f_zero());
    if (span.begin >= span.end) {  // this row sees nothing here
      part.row_max[row] = kMasked;
      part.sum[row] = 0;
      continue;
    }
    part.sum[row] = weigh_row(tile, span, origin, scores + row * kKvSplit, part.row_max[row]);
  }
  // Blocks that every query sees whole make one run. Runs of one block are: those where a window
  // or a chunk begins, the last one, in which each query sees one position more, and all int8
  // blocks.
  const int whole = (visible(tile, split, tile.first + tokens - 1).begin + 15) / 16;
  const int whole_end = visible(tile, split, tile.first).end / 16;
  for (int block = begin; block < end;) {
    const bool runs = kType == KvType::kF16 && block >= whole && block < whole_end;
    const BlockRun run(tile, block, runs ? whole_end : block + 1);
    value_run<kType>(tile, split, rows_of(block), run, scores + 16 * block - origin, part.out);
    block += run.blocks;
  }
}

void attention_combine(int rows, int head_dim, const AttentionPart& next,
                       const AttentionPart& total) {
  for (int row = 0; row < rows; ++row) {
    if (next.sum[row] == 0) continue;
    float* out = total.out + row * head_dim;
    const float* add = next.out + row * head_dim;
    if (total.sum[row] == 0) {
      total.row_max[row] = next.row_max[row];
      total.sum[row] = next.sum[row];
      for (int d = 0; d < head_dim; d += 16) f_store(out + d, f_load(add + d));
      continue;
    }
    const float row_max =
        total.row_max[row] > next.row_max[row] ? total.row_max[row] : next.row_max[row];
    const float keep = exp_scalar(total.row_max[row] - row_max);
    const float take = exp_scalar(next.row_max[row] - row_max);
    total.row_max[row] = row_max;
    total.sum[row] = __builtin_fmaf(next.sum[row], take, total.sum[row] * keep);
    for (int d = 0; d < head_dim; d += 16) {
      f_store(out + d, f_fma(f_load(add + d), f_set1(take), f_mul(f_load(out + d), f_set1(keep))));
    }
  }
}

void attention_finish(const AttentionPart& total, int row, int head_dim, const float* sink,
                      float* out) {
  float sum = total.sum[row];
  float keep = 1;
  if (sink != nullptr) {
    const float row_max = total.row_max[row] > *sink ? total.row_max[row] : *sink;
    keep = exp_scalar(total.row_max[row] - row_max);
    sum = __builtin_fmaf(sum, keep, exp_scalar(*sink - row_max));
  }
  const F scale = f_set1(keep / sum);
  for (int d = 0; d < head_dim; d += 16)
    f_store(out + d, f_mul(f_load(total.out + row * head_dim + d), scale));
}

constexpr AttentionKernels attention_kernels() {
  return {.split = {attention_split<KvType::kF16>, attention_split<KvType::kInt8>},
          .combine = attention_combine,
          .finish = attention_finish};
}
