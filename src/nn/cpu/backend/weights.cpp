// CpuBackend: weights, from a file's formats to packed ones.
#include <utility>

#include "base/check.h"
#include "nn/cpu/backend/cpu_backend.h"

namespace pippin::nn {
namespace {

cpu::WeightType weight_type(store::TensorType type) {
  switch (type) {
    using enum store::TensorType;
    case kF32:
      return cpu::WeightType::kF32;
    case kF16:
      return cpu::WeightType::kF16;
    case kBF16:
      return cpu::WeightType::kBF16;
    case kQ4_0:
      return cpu::WeightType::kQ4_0;
    case kQ4_1:
      return cpu::WeightType::kQ4_1;
    case kQ5_0:
      return cpu::WeightType::kQ5_0;
    case kQ5_1:
      return cpu::WeightType::kQ5_1;
    case kQ8_0:
      return cpu::WeightType::kQ8_0;
    case kQ2_K:
      return cpu::WeightType::kQ2_K;
    case kQ3_K:
      return cpu::WeightType::kQ3_K;
    case kQ4_K:
      return cpu::WeightType::kQ4_K;
    case kQ5_K:
      return cpu::WeightType::kQ5_K;
    case kQ6_K:
      return cpu::WeightType::kQ6_K;
    case kIQ4_NL:
      return cpu::WeightType::kIQ4_NL;
    case kIQ4_XS:
      return cpu::WeightType::kIQ4_XS;
    case kMXFP4:
      return cpu::WeightType::kMXFP4;
    case kAffine:
      break;  // by its bits, below
  }
  CHECK(false, "unknown tensor type");
  return cpu::WeightType::kF32;
}

cpu::WeightType affine_type(int bits) {
  switch (bits) {
    case 2:
      return cpu::WeightType::kAffine2;
    case 3:
      return cpu::WeightType::kAffine3;
    case 4:
      return cpu::WeightType::kAffine4;
    case 5:
      return cpu::WeightType::kAffine5;
    case 6:
      return cpu::WeightType::kAffine6;
    case 8:
      return cpu::WeightType::kAffine8;
    default:
      CHECK(false, "a width that no file has");
      return cpu::WeightType::kAffine8;
  }
}

cpu::PackedLinear::Part part_of(const store::TensorView& tensor) {
  if (tensor.has_blocks()) return {weight_type(tensor.type), tensor.bytes, tensor.shape[0]};
  const store::QuantisationParameters& form = tensor.mlx;
  const bool affine = tensor.type == store::TensorType::kAffine;
  return {affine ? affine_type(form.bits) : weight_type(tensor.type),
          tensor.bytes,
          tensor.shape[0],
          {weight_type(form.scale_type), form.group, form.scales, form.biases}};
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
