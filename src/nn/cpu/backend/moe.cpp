// CpuBackend: mixtures of experts.
#include <algorithm>
#include <numeric>
#include <utility>

#include "nn/cpu/backend/cpu_backend.h"
#include "nn/cpu/gates.h"
#include "nn/cpu/kernels.h"
#include "nn/cpu/router.h"

namespace pippin::nn {
namespace {

const std::vector<cpu::PackedLinear>& packed(const ExpertWeight& weight) {
  return static_cast<const CpuExperts&>(*weight.prepared).packed;
}

const float* bias_of(const ExpertWeight& weight, int expert) {
  return weight.bias.empty() ? nullptr : weight.bias.data() + int64_t{expert} * weight.rows;
}

}  // namespace

mx::array CpuBackend::moe(const MoeWeights& weights, const mx::array& x) {
  const mx::array input = host_ready(x);
  const int tokens = input.shape(0), width = input.shape(1), outputs = weights.down.rows;
  const auto used = static_cast<size_t>(weights.routing.used);
  const auto& router = static_cast<const CpuWeight&>(*weights.router.prepared);
  mx::array logits = allocate({tokens, weights.router.rows});
  cpu::linear(*router.packed, input.data<float>(), tokens, weights.router.bias.data(),
              logits.data<float>(), scratch_, threads_, cpu::Activations::kF32);
  std::vector<int32_t> chosen(static_cast<size_t>(tokens) * used);
  std::vector<float> shares(chosen.size()), scratch;
  for (size_t t = 0; t < static_cast<size_t>(tokens); ++t)
    cpu::route(weights.routing, logits.data<float>() + t * static_cast<size_t>(weights.router.rows),
               weights.selection_bias.data(), chosen.data() + t * used, shares.data() + t * used,
               scratch);
  mx::array each = allocate({static_cast<int>(chosen.size()), outputs});
  for (int e = 0; e < weights.routing.experts; ++e) {
    std::vector<size_t> entries;
    for (size_t i = 0; i < chosen.size(); ++i)
      if (chosen[i] == e) entries.push_back(i);
    if (entries.empty()) continue;
    const int rows = static_cast<int>(entries.size());
    mx::array in = allocate({rows, width}), out = allocate({rows, outputs});
    for (size_t r = 0; r < entries.size(); ++r) {
      const float factor = weights.weigh_inputs ? shares[entries[r]] : 1.0f;
      for (int i = 0; i < width; ++i)
        in.data<float>()[static_cast<int64_t>(r) * width + i] =
            factor * input.data<float>()[static_cast<int64_t>(entries[r] / used) * width + i];
    }
    const cpu::PackedLinear &up = packed(weights.up)[static_cast<size_t>(e)],
                            &down = packed(weights.down)[static_cast<size_t>(e)];
    if (weights.gated) {
      cpu::feed_forward(up, down, in.data<float>(), rows, bias_of(weights.up, e),
                        bias_of(weights.down, e), weights.gate, out.data<float>(), scratch_,
                        threads_, activations_);
    } else {
      mx::array inner = allocate({rows, weights.up.rows});
      float* values = inner.data<float>();
      const std::vector<float> ones(static_cast<size_t>(weights.up.rows), 1.0f);
      cpu::linear(up, in.data<float>(), rows, bias_of(weights.up, e), values, scratch_, threads_,
                  activations_);
      for (int r = 0; r < rows; ++r, values += weights.up.rows)
        cpu::gate_function(cpu::kernels(isa_).norm_rope, weights.gate)(values, ones.data(),
                                                                       weights.up.rows, values);
      cpu::linear(down, inner.data<float>(), rows, bias_of(weights.down, e), out.data<float>(),
                  scratch_, threads_, activations_);
    }
    for (size_t r = 0; r < entries.size(); ++r)
      std::copy_n(out.data<float>() + static_cast<int64_t>(r) * outputs, outputs,
                  each.data<float>() + static_cast<int64_t>(entries[r]) * outputs);
  }
  mx::array y = allocate({tokens, outputs});
  for (int t = 0; t < tokens; ++t) {
    float* to = y.data<float>() + int64_t{t} * outputs;
    std::fill_n(to, outputs, 0.0f);
    for (size_t r = 0; r < used; ++r) {
      const size_t entry = static_cast<size_t>(t) * used + r;
      const float* from = each.data<float>() + static_cast<int64_t>(entry) * outputs;
      const float factor = weights.weigh_inputs ? 1.0f : shares[entry];
      for (int i = 0; i < outputs; ++i) to[i] += factor * from[i];
    }
  }
  return y;
}

}  // namespace pippin::nn
