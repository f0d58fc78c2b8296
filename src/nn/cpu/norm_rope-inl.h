// Norms, gated activations and rotary embedding, written once over the vector vocabulary of a
// simd_*-inl.h file. Included inside an unnamed namespace by one .cpp file per instruction set;
// hence no includes here.

/// exp(x) within 2 units in the last place; exactly 1 at 0. Arguments are held to [-87, 88].
/// Source: Cody and Waite reduction, the minimax polynomial of Cephes' expf.
inline F f_exp(F x) {
  x = f_min(f_max(x, f_set1(-87.0f)), f_set1(88.0f));
  const I n = i_round(f_mul(x, f_set1(1.44269504f)));
  const F whole = f_from_int(n);
  F r = f_fnma(whole, f_set1(0.693359375f), x);
  r = f_fnma(whole, f_set1(-2.12194440e-4f), r);
  F p = f_set1(1.9875691500e-4f);
  p = f_fma(p, r, f_set1(1.3981999507e-3f));
  p = f_fma(p, r, f_set1(8.3334519073e-3f));
  p = f_fma(p, r, f_set1(4.1665795894e-2f));
  p = f_fma(p, r, f_set1(1.6666665459e-1f));
  p = f_fma(p, r, f_set1(5.0000001201e-1f));
  p = f_fma(p, f_mul(r, r), f_add(r, f_set1(1.0f)));
  return f_mul(p, f_exp2_int(n));
}

inline float exp_scalar(float x) {
  float lanes[16];
  f_store(lanes, f_exp(f_set1(x)));
  return lanes[0];
}

/// sin(x) and cos(x) within 1e-7 for |x| < 2^21. Source: Cephes' sinf and cosf polynomials on
/// [-pi/4, pi/4].
inline void f_sin_cos(F x, F& sine, F& cosine) {
  const I n = i_round(f_mul(x, f_set1(0.636619772f)));
  const F quarter = f_from_int(n);
  F r = f_fnma(quarter, f_set1(1.57079637e+00f), x);  // pi / 2 in three parts
  r = f_fnma(quarter, f_set1(-4.37113883e-08f), r);
  r = f_fnma(quarter, f_set1(-1.71512489e-15f), r);
  const F r2 = f_mul(r, r);
  F s = f_fma(f_set1(-1.9515295891e-4f), r2, f_set1(8.3321608736e-3f));
  s = f_fma(s, r2, f_set1(-1.6666654611e-1f));
  s = f_fma(f_mul(s, r2), r, r);
  F c = f_fma(f_set1(2.443315711809948e-5f), r2, f_set1(-1.388731625493765e-3f));
  c = f_fma(c, r2, f_set1(4.166664568298827e-2f));
  c = f_fma(f_mul(c, r2), r2, f_fnma(r2, f_set1(0.5f), f_set1(1.0f)));
  sine = f_negate_bit1(n, f_select_bit0(n, c, s));
  cosine = f_negate_bit1(i_add(n, i_set1(1)), f_select_bit0(n, s, c));
}

inline F load_part(const float* p, int count) {
  if (count == 16) return f_load(p);
  float lanes[16] = {};
  for (int i = 0; i < count; ++i) lanes[i] = p[i];
  return f_load(lanes);
}
inline void store_part(float* p, int count, F a) {
  if (count == 16) return f_store(p, a);
  float lanes[16];
  f_store(lanes, a);
  for (int i = 0; i < count; ++i) p[i] = lanes[i];
}

void rms_norm_row(float* x, const float* add, const float* weight, float eps, int64_t dim,
                  float* out) {
  F sums[4] = {f_zero(), f_zero(), f_zero(), f_zero()};
  int64_t i = 0;
  for (int lane = 0; i + 16 <= dim; i += 16, lane = (lane + 1) & 3) {
    F v = f_load(x + i);
    if (add != nullptr) {
      v = f_add(v, f_load(add + i));
      f_store(x + i, v);
    }
    sums[lane] = f_fma(v, v, sums[lane]);
  }
  const int tail = static_cast<int>(dim - i);
  if (tail > 0) {
    F v = load_part(x + i, tail);
    if (add != nullptr) {
      v = f_add(v, load_part(add + i, tail));
      store_part(x + i, tail, v);
    }
    sums[0] = f_fma(v, v, sums[0]);
  }
  const float sum = f_reduce_add(f_add(f_add(sums[0], sums[1]), f_add(sums[2], sums[3])));
  const F scale = f_set1(1.0f / __builtin_sqrtf(sum / static_cast<float>(dim) + eps));
  for (i = 0; i + 16 <= dim; i += 16)
    f_store(out + i, f_mul(f_mul(f_load(x + i), scale), f_load(weight + i)));
  if (tail > 0)
    store_part(out + i, tail,
               f_mul(f_mul(load_part(x + i, tail), scale), load_part(weight + i, tail)));
}

inline F silu_of(F x) { return f_div(x, f_add(f_set1(1.0f), f_exp(f_sub(f_zero(), x)))); }

/// x / 2 * (1 + tanh(u)) = x / (1 + exp(-2 u)).
inline F gelu_tanh_of(F x) {
  const F cubic = f_fma(f_mul(f_mul(x, x), x), f_set1(0.044715f), x);
  return f_div(x, f_add(f_set1(1.0f), f_exp(f_mul(cubic, f_set1(-1.5957691216f)))));
}

template <typename Function>
inline void gated_row(const float* gate, const float* up, int64_t count, float* out,
                      Function function) {
  int64_t i = 0;
  for (; i + 16 <= count; i += 16)
    f_store(out + i, f_mul(function(f_load(gate + i)), f_load(up + i)));
  const int tail = static_cast<int>(count - i);
  if (tail > 0)
    store_part(out + i, tail, f_mul(function(load_part(gate + i, tail)), load_part(up + i, tail)));
}
inline F sigmoid_of(F x) {
  return f_div(f_set1(1.0f), f_add(f_set1(1.0f), f_exp(f_sub(f_zero(), x))));
}
void sigmoid_row(const float* gate, const float* up, int64_t count, float* out) {
  gated_row(gate, up, count, out, [](F x) { return sigmoid_of(x); });
}
void silu_row(const float* gate, const float* up, int64_t count, float* out) {
  gated_row(gate, up, count, out, [](F x) { return silu_of(x); });
}
void gelu_tanh_row(const float* gate, const float* up, int64_t count, float* out) {
  gated_row(gate, up, count, out, [](F x) { return gelu_tanh_of(x); });
}

void angles_row(float position, const float* inv_freq, int half, float* cosine, float* sine) {
  for (int i = 0; i < half; i += 16) {
    const int count = half - i < 16 ? half - i : 16;
    F s, c;
    f_sin_cos(f_mul(f_set1(position), load_part(inv_freq + i, count)), s, c);
    store_part(cosine + i, count, c);
    store_part(sine + i, count, s);
  }
}

void rotate_row(float* head, int half, bool interleaved, const float* cosine, const float* sine) {
  if (interleaved) {
    for (int i = 0; i < 2 * half; i += 16) {
      const int count = 2 * half - i < 16 ? 2 * half - i : 16;
      const F x = load_part(head + i, count);
      const F turned = f_fma(f_swap_pairs(x), load_part(sine + i, count),
                             f_mul(x, load_part(cosine + i, count)));
      store_part(head + i, count, turned);
    }
    return;
  }
  for (int i = 0; i < half; i += 16) {
    const int count = half - i < 16 ? half - i : 16;
    const F a = load_part(head + i, count);
    const F b = load_part(head + half + i, count);
    const F c = load_part(cosine + i, count);
    const F s = load_part(sine + i, count);
    store_part(head + i, count, f_fnma(b, s, f_mul(a, c)));
    store_part(head + half + i, count, f_fma(a, s, f_mul(b, c)));
  }
}

void store_half_row(const float* values, int count, int64_t stride, uint16_t* out) {
  for (int i = 0; i < count; i += 16) {
    const int some = count - i < 16 ? count - i : 16;
    if (stride == 1 && some == 16) {
      f_to_half(out + i, f_load(values + i));
      continue;
    }
    uint16_t lanes[16];
    f_to_half(lanes, load_part(values + i, some));
    for (int j = 0; j < some; ++j) out[(i + j) * stride] = lanes[j];
  }
}

constexpr NormRopeKernels norm_rope_kernels() {
  return {.rms_norm = rms_norm_row,
          .silu = silu_row,
          .gelu_tanh = gelu_tanh_row,
          .sigmoid = sigmoid_row,
          .angles = angles_row,
          .rotate = rotate_row,
          .store_half = store_half_row};
}
