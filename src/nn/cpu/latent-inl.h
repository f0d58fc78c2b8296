// Attention over compressed keys and values, written once over the vector vocabulary of a simd_*.h
// file. A head's sums do not depend on which heads share its pass. Included inside an unnamed
// namespace by one .cpp file per instruction set, behind the norms; hence no includes here.

/// out[c] = factor * sum over r of x[r] * w[r, c], for V * 16 columns from `c` on.
template <int V>
inline void latent_columns(const float* x, int rows, const float* w, int columns, int c,
                           float factor, float* out) {
  F sums[V];
  for (int i = 0; i < V; ++i) sums[i] = f_zero();
  for (int r = 0; r < rows; ++r) {
    const F by = f_set1(x[r]);
    const float* row = w + int64_t{r} * columns + c;
    for (int i = 0; i < V; ++i) sums[i] = f_fma(by, f_load(row + 16 * i), sums[i]);
  }
  for (int i = 0; i < V; ++i) f_store(out + c + 16 * i, f_mul(sums[i], f_set1(factor)));
}

inline void latent_product(const float* x, int rows, const float* w, int columns, float factor,
                           float* out) {
  int c = 0;
  for (; c + 64 <= columns; c += 64) latent_columns<4>(x, rows, w, columns, c, factor, out);
  for (; c < columns; c += 16) latent_columns<1>(x, rows, w, columns, c, factor, out);
}

/// What is kept of a position: `width` values.
inline const uint16_t* kept_row(const uint16_t* cache, const int32_t* blocks, int64_t block_values,
                                int position, int width) {
  return cache + blocks[position / 16] * block_values + position % 16 * width;
}

inline const uint16_t* latent_row(const LatentTile& tile, int i) {
  const LatentArgs& a = *tile.args;
  const int position = tile.selected == nullptr ? i : tile.selected[i];
  return kept_row(a.cache, tile.blocks, a.block_values, position, a.width());
}

/// Scores of H heads at all positions. Even and odd vectors of dims have a sum each.
template <int H>
inline void latent_scores(const LatentTile& tile, int padded) {
  const int width = tile.args->width();
  for (int p = 0; p < tile.positions; ++p) {
    const uint16_t* row = latent_row(tile, p);
    F sums[H][2];
    for (int h = 0; h < H; ++h) sums[h][0] = sums[h][1] = f_zero();
    for (int d = 0; d < width; d += 16) {
      const F kept = f_from_half(row + d);
      for (int h = 0; h < H; ++h)
        sums[h][d / 16 % 2] = f_fma(kept, f_load(tile.wide + h * width + d), sums[h][d / 16 % 2]);
    }
    for (int h = 0; h < H; ++h)
      tile.scores[h * padded + p] = f_reduce_add(f_add(sums[h][0], sums[h][1]));
  }
}

/// Turns scores into weights whose sum is one.
inline void latent_softmax(float* scores, int positions, int padded) {
  for (int p = positions; p < padded; ++p) scores[p] = kMasked;
  F most = f_set1(kMasked);
  for (int p = 0; p < padded; p += 16) most = f_max(most, f_load(scores + p));
  const F shift = f_set1(f_reduce_max(most));
  F sum = f_zero();
  for (int p = 0; p < padded; p += 16) {
    const F weight = f_exp(f_sub(f_load(scores + p), shift));
    f_store(scores + p, weight);
    sum = f_add(sum, weight);
  }
  // exp() does not reach zero: what is masked counts for nothing.
  float total = f_reduce_add(sum);
  for (int p = positions; p < padded; ++p) total -= scores[p];
  const F factor = f_set1(1.0f / total);
  for (int p = 0; p < padded; p += 16) f_store(scores + p, f_mul(f_load(scores + p), factor));
}

/// What H heads gather of the compressed values, over their queries' memory.
template <int H>
inline void latent_gather(const LatentTile& tile, int padded) {
  const int width = tile.args->width();
  for (int d = 0; d < tile.args->rank; d += 16) {
    F sums[H];
    for (int h = 0; h < H; ++h) sums[h] = f_zero();
    for (int p = 0; p < tile.positions; ++p) {
      const F kept = f_from_half(latent_row(tile, p) + d);
      for (int h = 0; h < H; ++h)
        sums[h] = f_fma(kept, f_set1(tile.scores[h * padded + p]), sums[h]);
    }
    for (int h = 0; h < H; ++h) f_store(tile.wide + h * width + d, sums[h]);
  }
}

template <int H>
inline void latent_heads(const LatentTile& tile) {
  const LatentArgs& a = *tile.args;
  const int each = a.plain + a.rope.dims, padded = (tile.positions + 15) / 16 * 16;
  for (int h = 0; h < H; ++h) {
    const float* q = tile.q + h * each;
    float* wide = tile.wide + h * a.width();
    latent_product(q, a.plain, a.key_up + int64_t{tile.head + h} * a.plain * a.rank, a.rank,
                   a.scale, wide);
    for (int i = 0; i < a.rope.dims; ++i) wide[a.rank + i] = q[a.plain + i] * a.scale;
  }
  latent_scores<H>(tile, padded);
  for (int h = 0; h < H; ++h) latent_softmax(tile.scores + h * padded, tile.positions, padded);
  latent_gather<H>(tile, padded);
  for (int h = 0; h < H; ++h)
    latent_product(tile.wide + h * a.width(), a.rank,
                   a.value_up + int64_t{tile.head + h} * a.rank * a.value, a.value, 1.0f,
                   tile.out + h * a.value);
}

void latent_attend(const LatentTile& tile) {
  if (tile.heads == 4) return latent_heads<4>(tile);
  if (tile.heads == 3) return latent_heads<3>(tile);
  if (tile.heads == 2) return latent_heads<2>(tile);
  latent_heads<1>(tile);
}

/// Adds what N heads from `head` on give to the scores, in their order.
template <int N>
inline void index_heads(const IndexTile& tile, int head) {
  const IndexArgs& a = *tile.args;
  const float* q = tile.q + head * a.dim;
  for (int p = tile.first; p < tile.end; ++p) {
    const uint16_t* key = kept_row(a.cache, tile.blocks, a.block_values, p, a.dim);
    F sums[N];
    for (int h = 0; h < N; ++h) sums[h] = f_zero();
    for (int d = 0; d < a.dim; d += 16) {
      const F kept = f_from_half(key + d);
      for (int h = 0; h < N; ++h) sums[h] = f_fma(kept, f_load(q + h * a.dim + d), sums[h]);
    }
    float& score = tile.scores[p - tile.first];
    for (int h = 0; h < N; ++h) {
      const float product = f_reduce_add(sums[h]);
      if (!(product <= 0)) score += tile.weights[head + h] * product;  // not a number stays one
    }
  }
}

void index_scores(const IndexTile& tile) {
  for (int p = tile.first; p < tile.end; ++p) tile.scores[p - tile.first] = 0;
  int head = 0;
  for (; head + 4 <= tile.args->heads; head += 4) index_heads<4>(tile, head);
  for (; head < tile.args->heads; ++head) index_heads<1>(tile, head);
}

constexpr LatentKernels latent_kernels() {
  return {.attend = latent_attend, .index_scores = index_scores};
}
