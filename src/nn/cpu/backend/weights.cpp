// CpuBackend: weights, from a file's formats to packed ones.
#include <utility>

#include "base/check.h"
#include "nn/cpu/backend/cpu_backend.h"

namespace pippin::nn {
namespace {

cpu::PackedLinear::Part part_of(const store::TensorView& tensor) {
  return {tensor.type, tensor.bytes, tensor.shape[0], tensor.mlx};
}

cpu::PackedLinear::Order order_of(Stacking stacking) {
  using Order = cpu::PackedLinear::Order;
  return stacking == Stacking::kGateUp ? Order::kInterleaved : Order::kStacked;
}

}  // namespace

Result<std::shared_ptr<PreparedWeight>> CpuBackend::prepare(
    std::span<const store::TensorView* const> parts, int columns, Stacking stacking) {
  std::vector<cpu::PackedLinear::Part> packed;
  for (const store::TensorView* part : parts) packed.push_back(part_of(*part));
  ASSIGN_OR_RETURN(cpu::PackedLinear made, cpu::PackedLinear::pack(packed, columns, isa_, threads_,
                                                                   &arena_, order_of(stacking)));
  return std::shared_ptr<PreparedWeight>(std::make_shared<CpuWeight>(std::move(made)));
}

Result<std::shared_ptr<PreparedWeight>> CpuBackend::prepare_experts(
    std::span<const ExpertTensors> parts, int count, int columns, Stacking stacking) {
  auto experts = std::make_shared<CpuExperts>();
  for (int expert = 0; expert < count; ++expert) {
    std::vector<store::TensorView> views;
    for (const ExpertTensors& part : parts) views.push_back(part(expert));
    std::vector<cpu::PackedLinear::Part> packed;
    for (const store::TensorView& view : views) packed.push_back(part_of(view));
    ASSIGN_OR_RETURN(
        cpu::PackedLinear made,
        cpu::PackedLinear::pack(packed, columns, isa_, threads_, &arena_, order_of(stacking)));
    experts->packed.push_back(std::move(made));
  }
  return std::shared_ptr<PreparedWeight>(std::move(experts));
}

void CpuBackend::set_order(std::span<const LinearWeight* const> weights) {
  for (size_t i = 0; i < weights.size(); ++i) {
    const LinearWeight& next = *weights[(i + 1) % weights.size()];
    static_cast<CpuWeight&>(*weights[i]->prepared).next =
        static_cast<const CpuWeight&>(*next.prepared).packed;
  }
}

}  // namespace pippin::nn
