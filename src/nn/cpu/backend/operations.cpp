#include "nn/cpu/backend/cpu_backend.h"

#include <cmath>
#include <cstring>
#include <optional>
#include <utility>

#include "base/check.h"
#include "mlx/ops.h"

namespace pippin::nn {
namespace {

const CpuWeight& cpu_weight(const LinearWeight& weight) {
  return static_cast<const CpuWeight&>(*weight.prepared);
}

}  // namespace

CpuBackend::CpuBackend(cpu::Isa isa, int threads, cpu::Activations activations)
    : isa_(isa), activations_(activations), threads_(threads) {}

// f32, evaluated, not initialised.
mx::array CpuBackend::allocate(mx::Shape shape) {
  size_t bytes = sizeof(float);
  for (const int d : shape) bytes *= static_cast<size_t>(d);
  return mx::array(buffers_->take(bytes), std::move(shape), mx::float32);
}

mx::array CpuBackend::linear(const LinearWeight& weight, const mx::array& x) {
  const CpuWeight& own = cpu_weight(weight);
  const mx::array input = host_ready(x);
  mx::array y = allocate({input.shape(0), weight.rows});
  cpu::linear(*own.packed, input.data<float>(), input.shape(0), weight.bias.data(), y.data<float>(),
              scratch_, threads_, activations_, own.next.get());
  return y;
}

mx::array CpuBackend::embed(const LinearWeight& table, const StepBatch& batch, float scale) {
  const std::vector<int32_t>& tokens = batch.tokens;
  mx::array y = allocate({static_cast<int>(tokens.size()), table.columns});
  float* out = y.data<float>();
  for (size_t t = 0; t < tokens.size(); ++t) {
    float* row = out + t * static_cast<size_t>(table.columns);
    cpu_weight(table).packed->row(tokens[t], row);
    if (scale != 1.0f) {
      for (int i = 0; i < table.columns; ++i) row[i] *= scale;
    }
  }
  return y;
}

mx::array CpuBackend::gather(const mx::array& x, const std::vector<int32_t>& rows) {
  const mx::array input = host_ready(x);
  const auto width = static_cast<size_t>(input.shape(1));
  mx::array y = allocate({static_cast<int>(rows.size()), input.shape(1)});
  for (size_t r = 0; r < rows.size(); ++r) {
    std::memcpy(y.data<float>() + r * width,
                input.data<float>() + static_cast<size_t>(rows[r]) * width, width * sizeof(float));
  }
  return y;
}

mx::array CpuBackend::scale(const mx::array& x, float factor) {
  const mx::array input = host_ready(x);
  mx::array y = allocate(input.shape());
  const float* in = input.data<float>();
  float* out = y.data<float>();
  for (size_t i = 0; i < input.size(); ++i) out[i] = in[i] * factor;
  return y;
}

mx::array CpuBackend::soft_cap(const mx::array& x, float cap) {
  const mx::array input = host_ready(x);
  mx::array y = allocate(input.shape());
  for (size_t i = 0; i < input.size(); ++i)
    y.data<float>()[i] = cap * std::tanh(input.data<float>()[i] / cap);
  return y;
}

// The residual stream is ours alone inside a forward pass, so it is updated in place.
mx::array CpuBackend::norm_stream(const NormWeight& weight, mx::array& x, const mx::array* delta) {
  if (weight.centred) return layer_norm(weight, x, delta);
  mx::array stream = host_ready(x);
  mx::array out = allocate(stream.shape());
  std::optional<mx::array> add_input;
  if (delta != nullptr) add_input = host_ready(*delta);
  cpu::rms_norm(stream.data<float>(), add_input ? add_input->data<float>() : nullptr,
                weight.values.data(), weight.eps, stream.shape(0), stream.shape(1),
                out.data<float>(), threads_);
  x = stream;
  return out;
}

mx::array CpuBackend::norm(const NormWeight& weight, const mx::array& x) {
  mx::array stream = x;
  return norm_stream(weight, stream, nullptr);
}

mx::array CpuBackend::add_norm(const NormWeight& weight, mx::array& x, const mx::array& delta) {
  return norm_stream(weight, x, &delta);
}

// In place: what a projection has given is ours alone.
mx::array CpuBackend::norm_columns(const NormWeight& weight, const mx::array& x, int first) {
  mx::array y = host_ready(x);
  const size_t width = static_cast<size_t>(y.shape(1)), count = weight.values.size();
  const float* factors = weight.values.data();
  threads_.run(y.shape(0), [&](int r, int) {
    float* row = y.data<float>() + static_cast<size_t>(r) * width + static_cast<size_t>(first);
    float squares = 0;
    for (size_t i = 0; i < count; ++i) squares += row[i] * row[i];
    const float scale = 1.0f / std::sqrt(squares / static_cast<float>(count) + weight.eps);
    for (size_t i = 0; i < count; ++i) row[i] *= scale * factors[i];
  });
  return y;
}

mx::array CpuBackend::add(const mx::array& x, const mx::array& delta) {
  const mx::array a = host_ready(x), b = host_ready(delta);
  mx::array out = allocate(a.shape());
  const float *pa = a.data<float>(), *pb = b.data<float>();
  float* po = out.data<float>();
  for (size_t i = 0; i < a.size(); ++i) po[i] = pa[i] + pb[i];
  return out;
}

mx::array CpuBackend::feed_forward(Gate gate, const LinearWeight& gate_up, const LinearWeight& down,
                                   const mx::array& x) {
  const mx::array input = host_ready(x);
  mx::array y = allocate({input.shape(0), down.rows});
  const CpuWeight& last = cpu_weight(down);
  cpu::feed_forward(*cpu_weight(gate_up).packed, *last.packed, input.data<float>(), input.shape(0),
                    gate_up.bias.data(), down.bias.data(), gate, y.data<float>(), scratch_,
                    threads_, activations_, last.next.get());
  return y;
}

mx::array CpuBackend::qkv_rope_kv_write(const AttentionSpec& spec, const mx::array& qkv,
                                        const StepBatch& batch, KvLayerStore& kv) {
  const mx::array input = host_ready(qkv);
  mx::array q = allocate({input.shape(0), spec.heads * spec.head_dim});
  cpu::QkvArgs args{};
  args.qkv = input.data<float>();
  args.tokens = batch.size();
  args.heads = spec.heads;
  args.positions = batch.positions.data();
  args.slots = batch.kv_of(kv).slots.data();
  args.q_norm = spec.q_norm.data();
  args.k_norm = spec.k_norm.data();
  args.norm_eps = spec.norm_eps;
  args.norm_after_rope = spec.norm_after_rope;
  args.queries_only = spec.queries_only;
  args.rope = {spec.rope_interleaved, spec.rope_dims, spec.inv_freq.data(), spec.rope_magnitude};
  args.q_out = q.data<float>();
  cpu::rope_kv_write(args, static_cast<CpuKv&>(kv).blocks, threads_);
  return q;
}

mx::array CpuBackend::paged_attention(const AttentionSpec& spec, const mx::array& q,
                                      const StepBatch& batch, KvLayerStore& kv) {
  const mx::array input = host_ready(q);
  mx::array out = allocate(input.shape());
  cpu::AttentionArgs args{};
  args.q = input.data<float>();
  args.heads = spec.heads;
  args.scale = spec.scale;
  args.rows = batch.kv_of(kv).rows;
  args.window = spec.window;
  args.chunk = spec.chunk;
  args.soft_cap = spec.soft_cap;
  args.sinks = spec.sinks.data();
  args.out = out.data<float>();
  cpu::paged_attention(args, static_cast<CpuKv&>(kv).blocks, threads_);
  return out;
}

}  // namespace pippin::nn
