// CpuBackend: mixtures of experts.
#include <vector>

#include "nn/cpu/backend/cpu_backend.h"
#include "nn/cpu/experts.h"
#include "nn/cpu/router.h"

namespace pippin::nn {
namespace {

const std::vector<cpu::PackedLinear>& packed(const ExpertWeight& weight) {
  return static_cast<const CpuExperts&>(*weight.prepared).packed;
}

}  // namespace

// The router takes f32 activations: codes would flip choices between experts.
mx::array CpuBackend::moe(const MoeWeights& weights, const mx::array& x,
                          const mx::array& routed_by) {
  const mx::array input = host_ready(x), router_input = host_ready(routed_by);
  const int tokens = input.shape(0), used = weights.routing.used;
  const auto& router = static_cast<const CpuWeight&>(*weights.router.prepared);
  mx::array logits = allocate({tokens, weights.router.rows});
  cpu::linear(*router.packed, router_input.data<float>(), tokens, weights.router.bias.data(),
              logits.data<float>(), scratch_, threads_, cpu::Activations::kF32);
  std::vector<int32_t> chosen(static_cast<size_t>(tokens) * static_cast<size_t>(used));
  std::vector<float> shares(chosen.size()), scratch;
  for (int64_t t = 0; t < tokens; ++t)
    cpu::route(weights.routing, logits.data<float>() + t * weights.router.rows,
               weights.selection_bias.data(), chosen.data() + t * used, shares.data() + t * used,
               scratch);
  if (const float* factors = weights.expert_factors.data())
    for (size_t i = 0; i < shares.size(); ++i) shares[i] *= factors[chosen[i]];
  mx::array y = allocate({tokens, weights.down.rows});
  const cpu::ExpertLayer layer{.up = packed(weights.up),
                               .down = packed(weights.down),
                               .up_bias = weights.up.bias.data(),
                               .down_bias = weights.down.bias.data(),
                               .gate = weights.gate,
                               .gated = weights.gated,
                               .weigh_inputs = weights.weigh_inputs};
  cpu::experts(layer, {tokens, used, chosen.data(), shares.data()}, input.data<float>(),
               y.data<float>(), scratch_, threads_, activations_, router.next.get());
  return y;
}

}  // namespace pippin::nn
