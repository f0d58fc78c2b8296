// Convolutions, the delta rule and Mamba, written once over the vector vocabulary of a simd_*-inl.h
// file. A matrix's columns lie in the lanes, so that no sum crosses lanes. Included inside an
// unnamed namespace by one .cpp file per instruction set, behind the norms; hence no includes here.

/// log(1 + exp(x)). With u = exp(-|x|): log(1 + u) = 2 atanh(u / (2 + u)), whose series in s^2 <=
/// 1/9 ends below 1e-8 of it.
inline F f_softplus(F x) {
  const F u = f_exp(f_sub(f_zero(), f_abs(x)));
  const F s = f_div(u, f_add(f_set1(2.0f), u));
  const F s2 = f_mul(s, s);
  F p = f_set1(2.0f / 15);
  p = f_fma(p, s2, f_set1(2.0f / 13));
  p = f_fma(p, s2, f_set1(2.0f / 11));
  p = f_fma(p, s2, f_set1(2.0f / 9));
  p = f_fma(p, s2, f_set1(2.0f / 7));
  p = f_fma(p, s2, f_set1(2.0f / 5));
  p = f_fma(p, s2, f_set1(2.0f / 3));
  p = f_fma(p, s2, f_set1(2.0f));
  return f_fma(p, s, f_max(x, f_zero()));
}

/// Calls one(i, n) for n <= 16 of `count` values at a time.
template <typename One>
inline void each_part(int count, One one) {
  int i = 0;
  for (; i + 16 <= count; i += 16) one(i, 16);
  if (i < count) one(i, count - i);
}

// --- Convolution ---

// The last inputs, in turns: that of token t lies at t % taps.
struct ConvRing {
  float values[8][kConvSlice];
};

inline void conv_token(const ConvTile& tile, const ConvRing& ring, int64_t t) {
  const ConvArgs& a = *tile.args;
  const int64_t at = tile.row->row + t;
  each_part(tile.count, [&](int i, int n) {
    const int channel = tile.first + i;
    F y = a.bias == nullptr ? f_zero() : load_part(a.bias + channel, n);
    for (int j = 0; j < a.taps; ++j) {
      const float* input = ring.values[(t + 1 + j) % a.taps] + i;
      y = f_fma(load_part(a.weight + int64_t{j} * a.channels + channel, n), load_part(input, n), y);
    }
    if (a.silu) y = silu_of(y);
    if (a.c.first != nullptr) y = f_mul(y, load_part(a.c.at(at) + channel, n));
    store_part(a.out + at * a.channels + channel, n, y);
  });
}

void conv_slice(const ConvTile& tile) {
  const ConvArgs& a = *tile.args;
  const bool fresh = tile.row->start == 0;
  const int before = a.taps - 1;
  ConvRing ring;
  // Token -before + j of the row is history j.
  for (int j = 0; j < before; ++j) {
    float* to = ring.values[(j + 1) % a.taps];
    const float* from = tile.history + int64_t{j} * a.channels + tile.first;
    for (int i = 0; i < tile.count; ++i) to[i] = fresh ? 0.0f : from[i];
  }
  for (int64_t t = 0; t < tile.row->tokens; ++t) {
    const int64_t at = tile.row->row + t;
    const float* x = a.x.at(at) + tile.first;
    float* to = ring.values[t % a.taps];
    if (a.b.first != nullptr) {
      const float* b = a.b.at(at) + tile.first;
      each_part(tile.count, [&](int i, int n) {
        store_part(to + i, n, f_mul(load_part(b + i, n), load_part(x + i, n)));
      });
    } else {
      for (int i = 0; i < tile.count; ++i) to[i] = x[i];
    }
    conv_token(tile, ring, t);
  }
  const int64_t end = tile.row->tokens;
  for (int j = 0; j < before; ++j) {
    const float* from = ring.values[(end + 1 + j) % a.taps];
    float* to = tile.history + int64_t{j} * a.channels + tile.first;
    for (int i = 0; i < tile.count; ++i) to[i] = from[i];
  }
}

// --- Matrices ---

// Vectors of columns that a pass over a matrix takes at most: two sums each stay in registers.
constexpr int kMatrixVectors = kRegisters >= 32 ? 4 : kRegisters >= 8 ? 2 : 1;

/// Calls one.operator()<V>(first) for columns [first, first + 16 V) of a tile, in order.
template <typename One>
inline void each_columns(const MatrixTile& tile, One one) {
  int i = 0;
  for (; i + 16 * kMatrixVectors <= tile.count; i += 16 * kMatrixVectors)
    one.template operator()<kMatrixVectors>(tile.first + i);
  for (; i < tile.count; i += 16) one.template operator()<1>(tile.first + i);
}

inline void clear_matrix(const MatrixTile& tile, int rows) {
  for (int r = 0; r < rows; ++r)
    for (int i = 0; i < tile.count; i += 16)
      f_store(tile.matrix + r * tile.stride + tile.first + i, f_zero());
}

// --- The gated delta rule ---

inline void unit_row(float* x, int dim, float factor) {
  F sums[2] = {f_zero(), f_zero()};
  for (int i = 0; i < dim; i += 16) {
    const F v = f_load(x + i);
    sums[i / 16 % 2] = f_fma(v, v, sums[i / 16 % 2]);
  }
  const float sum = f_reduce_add(f_add(sums[0], sums[1]));
  const F scale = f_set1(factor / __builtin_sqrtf(sum + 1e-6f));
  for (int i = 0; i < dim; i += 16) f_store(x + i, f_mul(f_load(x + i), scale));
}

void delta_prepare_token(const DeltaRuleArgs& a, int64_t token) {
  const int64_t keys = int64_t{a.key_heads} * a.key_dim;
  float* q = a.qkv + token * (2 * keys + int64_t{a.heads} * a.value_dim);
  const float scale = 1.0f / __builtin_sqrtf(static_cast<float>(a.key_dim));
  for (int h = 0; h < a.key_heads; ++h) {
    unit_row(q + int64_t{h} * a.key_dim, a.key_dim, scale);
    unit_row(q + keys + int64_t{h} * a.key_dim, a.key_dim, 1.0f);
  }
  const float* raw = a.ab.at(token);
  float* out = a.scratch + token * 2 * a.heads;
  each_part(a.heads, [&](int h, int n) {
    const F step = f_softplus(f_add(load_part(raw + h, n), load_part(a.dt_bias + h, n)));
    store_part(out + h, n, f_exp(f_mul(step, load_part(a.decay + h, n))));
    store_part(out + a.heads + h, n, sigmoid_of(load_part(raw + a.heads + h, n)));
  });
}

// One token: the matrix is read for what it knows of k, then updated and read by q. Sums run over
// even and odd rows apart.
template <int V>
inline void delta_token(float* matrix, int64_t stride, int rows, const float* q, const float* k,
                        const float* v, float decay, float beta, float* out) {
  const F keep = f_set1(decay);
  F sums[2][V];
  for (int c = 0; c < V; ++c) sums[0][c] = sums[1][c] = f_zero();
  for (int r = 0; r < rows; r += 2) {
    const float* row = matrix + r * stride;
    const F k0 = f_set1(k[r]), k1 = f_set1(k[r + 1]);
    for (int c = 0; c < V; ++c) sums[0][c] = f_fma(k0, f_load(row + 16 * c), sums[0][c]);
    for (int c = 0; c < V; ++c) sums[1][c] = f_fma(k1, f_load(row + stride + 16 * c), sums[1][c]);
  }
  F change[V];
  for (int c = 0; c < V; ++c) {
    const F known = f_mul(keep, f_add(sums[0][c], sums[1][c]));
    change[c] = f_mul(f_set1(beta), f_sub(f_load(v + 16 * c), known));
    sums[0][c] = sums[1][c] = f_zero();
  }
  for (int r = 0; r < rows; r += 2) {
    for (int half = 0; half < 2; ++half) {
      float* row = matrix + (r + half) * stride;
      const F key = f_set1(k[r + half]), query = f_set1(q[r + half]);
      for (int c = 0; c < V; ++c) {
        const F next = f_fma(key, change[c], f_mul(keep, f_load(row + 16 * c)));
        f_store(row + 16 * c, next);
        sums[half][c] = f_fma(query, next, sums[half][c]);
      }
    }
  }
  for (int c = 0; c < V; ++c) f_store(out + 16 * c, f_add(sums[0][c], sums[1][c]));
}

void delta_slice(const DeltaRuleArgs& a, const MatrixTile& tile) {
  if (tile.row->start == 0) clear_matrix(tile, a.key_dim);
  const int64_t keys = int64_t{a.key_heads} * a.key_dim, values = int64_t{a.heads} * a.value_dim;
  const int key_head = a.keys_tiled ? tile.head % a.key_heads : tile.head / (a.heads / a.key_heads);
  each_columns(tile, [&]<int V>(int first) {
    for (int64_t t = tile.row->row; t < tile.row->row + tile.row->tokens; ++t) {
      const float* q = a.qkv + t * (2 * keys + values) + int64_t{key_head} * a.key_dim;
      const int64_t at = int64_t{tile.head} * a.value_dim + first;
      const float* factors = a.scratch + t * 2 * a.heads + tile.head;
      delta_token<V>(tile.matrix + first, tile.stride, a.key_dim, q, q + keys,
                     a.qkv + t * (2 * keys + values) + 2 * keys + at, factors[0], factors[a.heads],
                     a.out + t * values + at);
    }
  });
}

// --- Mamba 2 ---

void ssd_prepare_token(const SsdArgs& a, int64_t token) {
  const float* raw = a.dt.at(token);
  float* out = a.scratch + token * 2 * a.heads;
  each_part(a.heads, [&](int h, int n) {
    const F biased = f_fma(load_part(raw + h, n), f_set1(a.dt_factor), load_part(a.dt_bias + h, n));
    const F step = f_min(f_max(f_softplus(biased), f_set1(a.dt_min)), f_set1(a.dt_max));
    store_part(out + h, n, step);
    store_part(out + a.heads + h, n, f_exp(f_mul(step, load_part(a.decay + h, n))));
  });
}

template <int V>
inline void ssd_token(float* matrix, int64_t stride, int rows, const float* b, const float* c,
                      const float* x, float step, float decay, float skip, float* out) {
  const F keep = f_set1(decay);
  F taken[V], sums[2][V];
  for (int i = 0; i < V; ++i) {
    taken[i] = f_mul(f_set1(step), f_load(x + 16 * i));
    sums[0][i] = f_mul(f_set1(skip), f_load(x + 16 * i));
    sums[1][i] = f_zero();
  }
  const auto pass = [&](int r, F* sum) {
    float* row = matrix + r * stride;
    const F into = f_set1(b[r]), from = f_set1(c[r]);
    for (int i = 0; i < V; ++i) {
      const F next = f_fma(into, taken[i], f_mul(keep, f_load(row + 16 * i)));
      f_store(row + 16 * i, next);
      sum[i] = f_fma(from, next, sum[i]);
    }
  };
  int r = 0;
  for (; r + 2 <= rows; r += 2) {
    pass(r, sums[0]);
    pass(r + 1, sums[1]);
  }
  if (r < rows) pass(r, sums[0]);
  for (int i = 0; i < V; ++i) f_store(out + 16 * i, f_add(sums[0][i], sums[1][i]));
}

void ssd_slice(const SsdArgs& a, const MatrixTile& tile) {
  if (tile.row->start == 0) clear_matrix(tile, a.state);
  const int64_t inner = int64_t{a.heads} * a.head_dim, shared = int64_t{a.groups} * a.state;
  const int64_t group = tile.head / (a.heads / a.groups) * int64_t{a.state};
  each_columns(tile, [&]<int V>(int first) {
    for (int64_t t = tile.row->row; t < tile.row->row + tile.row->tokens; ++t) {
      const float* x = a.xbc + t * (inner + 2 * shared);
      const int64_t at = int64_t{tile.head} * a.head_dim + first;
      const float* factors = a.scratch + t * 2 * a.heads + tile.head;
      ssd_token<V>(tile.matrix + first, tile.stride, a.state, x + inner + group,
                   x + inner + shared + group, x + at, factors[0], factors[a.heads],
                   a.skip[tile.head], a.out + t * inner + at);
    }
  });
}

// --- Mamba 1 ---

template <int V>
inline void mamba_token(const MambaArgs& a, const MatrixTile& tile, int first, int64_t t) {
  const float *x = a.x.at(t) + first, *bc = a.bc.at(t), *raw = a.dt.at(t) + first;
  F steps[V], taken[V], sums[V];
  for (int i = 0; i < V; ++i) {
    const F now = f_load(x + 16 * i);
    steps[i] = f_softplus(f_load(raw + 16 * i));
    taken[i] = f_mul(steps[i], now);
    sums[i] = f_mul(f_load(a.skip + first + 16 * i), now);
  }
  for (int n = 0; n < a.state; ++n) {
    float* row = tile.matrix + n * tile.stride + first;
    const float* decay = a.decay + int64_t{n} * a.channels + first;
    const F into = f_set1(bc[n]), from = f_set1(bc[a.state + n]);
    for (int i = 0; i < V; ++i) {
      const F keep = f_exp(f_mul(steps[i], f_load(decay + 16 * i)));
      const F next = f_fma(into, taken[i], f_mul(keep, f_load(row + 16 * i)));
      f_store(row + 16 * i, next);
      sums[i] = f_fma(from, next, sums[i]);
    }
  }
  for (int i = 0; i < V; ++i) f_store(a.out + t * a.channels + first + 16 * i, sums[i]);
}

void mamba_slice(const MambaArgs& a, const MatrixTile& tile) {
  if (tile.row->start == 0) clear_matrix(tile, a.state);
  each_columns(tile, [&]<int V>(int first) {
    for (int64_t t = tile.row->row; t < tile.row->row + tile.row->tokens; ++t)
      mamba_token<V>(a, tile, first, t);
  });
}

// --- Norms beside gates ---

inline void gated_norm_group(const GatedNormArgs& a, const float* x, const float* gate,
                             const float* weight, float* out) {
  const auto gated = [&](F v, int i, int n) {
    return f_mul(v, silu_of(f_mul(load_part(gate + i, n), f_set1(a.gate_factor))));
  };
  F sums[2] = {f_zero(), f_zero()};
  each_part(a.group, [&](int i, int n) {
    F v = load_part(x + i, n);
    if (a.gate_first) v = gated(v, i, n);
    if (a.gate_first) store_part(out + i, n, v);
    sums[i / 16 % 2] = f_fma(v, v, sums[i / 16 % 2]);
  });
  const float sum = f_reduce_add(f_add(sums[0], sums[1]));
  const F scale = f_set1(1.0f / __builtin_sqrtf(sum / static_cast<float>(a.group) + a.eps));
  each_part(a.group, [&](int i, int n) {
    const F v = f_mul(load_part((a.gate_first ? out : x) + i, n), scale);
    const F normed = f_mul(v, load_part(weight + i, n));
    store_part(out + i, n, a.gate_first ? normed : gated(normed, i, n));
  });
}

void gated_norm_token(const GatedNormArgs& a, int64_t token) {
  const float *x = a.x.at(token), *gate = a.gate.at(token);
  float* out = a.out + token * a.width;
  if (a.weight == nullptr) {
    each_part(a.width, [&](int i, int n) {
      const F by = silu_of(f_mul(load_part(gate + i, n), f_set1(a.gate_factor)));
      store_part(out + i, n, f_mul(load_part(x + i, n), by));
    });
    return;
  }
  for (int g = 0; g < a.width; g += a.group)
    gated_norm_group(a, x + g, gate + g, a.weight + g, out + g);
}

constexpr RecurrentKernels recurrent_kernels() {
  return {.conv = conv_slice,
          .delta_prepare = delta_prepare_token,
          .delta = delta_slice,
          .ssd_prepare = ssd_prepare_token,
          .ssd = ssd_slice,
          .mamba = mamba_slice,
          .gated_norm = gated_norm_token};
}
