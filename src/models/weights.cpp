#include "models/weights.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "mlx/ops.h"

namespace pippin::models {
namespace {

namespace mx = mlx::core;

namespace cpu = nn::cpu;

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
  const store::MlxForm& form = tensor.mlx;
  const bool affine = tensor.type == store::TensorType::kAffine;
  return {affine ? affine_type(form.bits) : weight_type(tensor.type),
          tensor.bytes,
          tensor.shape[0],
          {weight_type(form.scale_type), form.group, form.scales, form.biases}};
}

// The stock backend's dense form: exact values of the file, in the context's dtype.
mx::array dense(const std::vector<const store::TensorView*>& tensors, int columns,
                mx::Dtype dtype) {
  std::vector<mx::array> stacked;
  for (const store::TensorView* tensor : tensors) {
    std::vector<float> values(static_cast<size_t>(tensor->elements()));
    store::dequantize(*tensor, values);
    const mx::array wide(values.begin(),
                         mx::Shape{static_cast<int>(tensor->elements() / columns), columns},
                         mx::float32);
    stacked.push_back(mx::astype(wide, dtype));
    stacked.back().eval();
  }
  mx::array whole = stacked.size() == 1 ? stacked[0] : mx::concatenate(stacked, 0);
  whole.eval();
  return whole;
}

}  // namespace

WeightLoader::WeightLoader(const store::Checkpoint& checkpoint, const nn::Context& ctx,
                           LoadProgress progress, float norm_offset)
    : checkpoint_(checkpoint),
      ctx_(ctx),
      progress_(std::move(progress)),
      norm_offset_(norm_offset) {
  for (const store::TensorView& tensor : checkpoint.tensors()) total_ += tensor.stored_bytes();
}

Result<const store::TensorView*> WeightLoader::checked(const std::string& name,
                                                       const std::vector<int64_t>& shape) {
  const store::TensorView* tensor = checkpoint_.tensor(name);
  if (tensor == nullptr) {
    return fail(Code::kInvalidFile,
                fmt::format("[model] {}: tensor {} is missing", checkpoint_.path(), name), name);
  }
  if (tensor->shape != shape) {
    return fail(
        Code::kInvalidFile,
        fmt::format("[model] {}: tensor {} should have shape [{}], it has [{}]", checkpoint_.path(),
                    name, fmt::join(shape, ", "), fmt::join(tensor->shape, ", ")),
        name);
  }
  return tensor;
}

void WeightLoader::advance(const store::TensorView& tensor) {
  done_ += tensor.stored_bytes();
  if (progress_) progress_(done_, total_);
}

Result<nn::LinearWeight> WeightLoader::linear(const std::vector<Part>& parts, int columns,
                                              cpu::PackedLinear::Order order) {
  nn::LinearWeight weight;
  weight.columns = columns;
  std::vector<const store::TensorView*> tensors;
  std::vector<float> biases;
  for (const Part& part : parts) {
    ASSIGN_OR_RETURN(const store::TensorView* tensor,
                     checked(part.name + ".weight", {part.rows, columns}));
    tensors.push_back(tensor);
    weight.rows += part.rows;
    if (has(part.name + ".bias")) {
      ASSIGN_OR_RETURN(const std::vector<float> bias, vector(part.name + ".bias", part.rows));
      biases.insert(biases.end(), bias.begin(), bias.end());
    }
  }
  if (!biases.empty() && static_cast<int>(biases.size()) != weight.rows) {
    return fail(Code::kInvalidFile,
                fmt::format("[model] {}: {} has a bias, but its siblings do not",
                            checkpoint_.path(), parts[0].name),
                parts[0].name + ".bias");
  }
  weight.bias = std::move(biases);
  if (ctx_.backend != nn::Backend::kCpu) {
    weight.dense = dense(tensors, columns, ctx_.dtype);
    weight.dense_transposed = mx::transpose(*weight.dense);
    weight.dense_transposed->eval();
  } else {
    std::vector<cpu::PackedLinear::Part> packed;
    for (const store::TensorView* tensor : tensors) packed.push_back(part_of(*tensor));
    auto result =
        cpu::PackedLinear::pack(packed, columns, ctx_.isa, *ctx_.pool, ctx_.weights.get(), order);
    if (!result.ok()) {
      return fail(result.error().code,
                  fmt::format("[model] {}: {}: {}", checkpoint_.path(), parts[0].name,
                              result.error().message),
                  parts[0].name);
    }
    weight.packed = std::make_shared<const cpu::PackedLinear>(std::move(result).value());
  }
  for (const store::TensorView* tensor : tensors) advance(*tensor);
  return weight;
}

Result<std::vector<float>> WeightLoader::vector(const std::string& name, int size) {
  ASSIGN_OR_RETURN(const store::TensorView* tensor, checked(name, {size}));
  if (!tensor->has_blocks() || size % store::block_elements(tensor->type) != 0) {
    return fail(Code::kInvalidFile,
                fmt::format("[model] {}: tensor {} has a type that does not fit its size",
                            checkpoint_.path(), name),
                name);
  }
  std::vector<float> values(static_cast<size_t>(size));
  store::dequantize(tensor->type, tensor->bytes, values);
  advance(*tensor);
  return values;
}

Result<std::vector<float>> WeightLoader::norm_values(const std::string& name, int size) {
  ASSIGN_OR_RETURN(std::vector<float> values, vector(name, size));
  for (float& value : values) value += norm_offset_;
  return values;
}

Result<nn::NormWeight> WeightLoader::norm(const std::string& name, int size, float eps) {
  nn::NormWeight weight;
  weight.eps = eps;
  ASSIGN_OR_RETURN(std::vector<float> values, norm_values(name, size));
  weight.values = std::move(values);
  return weight;
}

}  // namespace pippin::models
