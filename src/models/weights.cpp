#include "models/weights.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "store/tensor_name.h"
#include "store/unpack.h"

namespace pippin::models {
namespace {

// A matrix of one row may be kept as a vector, and the other way round.
std::vector<int64_t> without_ones(std::vector<int64_t> shape) {
  while (shape.size() > 1 && shape.front() == 1) shape.erase(shape.begin());
  return shape;
}

// Beginnings of names that tell nothing of the text model: of images (Ollama keeps their tower in
// the same file) and sound, of layers that predict further tokens, of a classifier's head.
constexpr std::string_view kOtherParts[] = {"v.", "mm.", "s.", "a.", "mtp.", "cls."};
// Ends of names of what no computation here needs: how the activations of a quantised layer would
// be rounded, and frequencies that follow from the configuration.
constexpr std::string_view kUnneeded[] = {".input_scale", ".attn_rot_embd.weight"};

bool is_unneeded(const store::TensorView& tensor) {
  const std::string_view name = tensor.name;
  // Some quantisers give every product a bias.
  const bool adds_nothing =
      name.ends_with(".bias") &&
      std::ranges::all_of(tensor.bytes, [](auto b) { return b == std::byte{0}; });
  return adds_nothing ||
         std::ranges::any_of(kOtherParts, [&](auto part) { return name.starts_with(part); }) ||
         std::ranges::any_of(kUnneeded, [&](auto end) { return name.ends_with(end); });
}

// Layers that predict further tokens have tensors of that name beside those of any layer.
bool predicts_further(std::string_view name) { return name.find(".nextn.") != name.npos; }

}  // namespace

WeightLoader::WeightLoader(const store::Checkpoint& checkpoint, nn::Backend& backend,
                           LoadProgress progress, NormStyle norms)
    : checkpoint_(checkpoint), backend_(backend), progress_(std::move(progress)), norms_(norms) {
  for (const store::TensorView& tensor : checkpoint.tensors()) total_ += tensor.stored_bytes();
}

Result<const store::TensorView*> WeightLoader::checked(const std::string& name,
                                                       const std::vector<int64_t>& shape) {
  const store::TensorView* tensor = checkpoint_.tensor(name);
  if (tensor == nullptr) {
    return fail(Code::kInvalidFile,
                fmt::format("[model] {}: tensor {} is missing", checkpoint_.path(), name), name);
  }
  if (without_ones(tensor->shape) != without_ones(shape)) {
    return fail(
        Code::kInvalidFile,
        fmt::format("[model] {}: tensor {} should have shape [{}], it has [{}]", checkpoint_.path(),
                    name, fmt::join(shape, ", "), fmt::join(tensor->shape, ", ")),
        name);
  }
  read_.insert(name);
  return tensor;
}

Result<store::TensorView> WeightLoader::matrix(const std::string& name, int rows, int columns) {
  // A stack of matrices is one, too.
  const store::TensorView* stack = checkpoint_.tensor(name);
  const bool stacked = stack != nullptr && stack->shape.size() == 3 && !stack->transposed &&
                       stack->shape[0] > 1 && stack->shape[0] * stack->shape[1] == rows;
  std::vector<int64_t> shape = {rows, columns};
  if (stacked) shape = {stack->shape[0], stack->shape[1], columns};
  ASSIGN_OR_RETURN(const store::TensorView* tensor, checked(name, shape));
  store::TensorView view = store::unpack(*tensor);
  view.shape = {rows, columns};
  return view;
}

void WeightLoader::advance(const store::TensorView& tensor) {
  done_ = std::min(total_, done_ + tensor.stored_bytes());  // unpacked or read twice, it takes more
  if (progress_) progress_(done_, total_);
}

Result<nn::LinearWeight> WeightLoader::linear(const std::vector<Part>& parts, int columns,
                                              nn::Stacking stacking) {
  nn::LinearWeight weight;
  weight.columns = columns;
  std::vector<store::TensorView> views;
  std::vector<float> biases;
  for (const Part& part : parts) {
    const int rows = part.tensor_rows > 0 ? part.tensor_rows : part.rows;
    ASSIGN_OR_RETURN(const store::TensorView view, matrix(part.name + ".weight", rows, columns));
    views.push_back(view.slice(part.first_row, part.rows));
    weight.rows += part.rows;
    if (has(part.name + ".bias")) {
      ASSIGN_OR_RETURN(const std::vector<float> bias, vector(part.name + ".bias", rows));
      biases.insert(biases.end(), bias.begin() + part.first_row,
                    bias.begin() + part.first_row + part.rows);
    }
  }
  if (!biases.empty() && static_cast<int>(biases.size()) != weight.rows) {
    return fail(Code::kInvalidFile,
                fmt::format("[model] {}: {} has a bias, but its siblings do not",
                            checkpoint_.path(), parts[0].name),
                parts[0].name + ".bias");
  }
  weight.bias = std::move(biases);
  std::vector<const store::TensorView*> tensors;
  for (const store::TensorView& view : views) tensors.push_back(&view);
  Result<std::shared_ptr<nn::PreparedWeight>> prepared =
      backend_.prepare(tensors, columns, stacking);
  if (!prepared.ok()) {
    return fail(prepared.error().code,
                fmt::format("[model] {}: {}: {}", checkpoint_.path(), parts[0].name,
                            prepared.error().message),
                parts[0].name);
  }
  weight.prepared = *std::move(prepared);
  for (const store::TensorView* tensor : tensors) advance(*tensor);
  return weight;
}

Result<std::vector<float>> WeightLoader::vector(const std::string& name, int size) {
  return floats(name, {size});
}

Result<std::vector<float>> WeightLoader::floats(const std::string& name,
                                                const std::vector<int64_t>& shape) {
  ASSIGN_OR_RETURN(const store::TensorView* tensor, checked(name, shape));
  return dequantized(*tensor);
}

Result<std::vector<float>> WeightLoader::values(const std::string& name, int64_t count) {
  const store::TensorView* tensor = checkpoint_.tensor(name);
  if (tensor == nullptr) return checked(name, {}).error();
  if (tensor->elements() != count) {
    return fail(Code::kInvalidFile,
                fmt::format("[model] {}: tensor {} should have {} values, its shape is [{}]",
                            checkpoint_.path(), name, count, fmt::join(tensor->shape, ", ")),
                name);
  }
  read_.insert(name);
  return dequantized(*tensor);
}

Result<void> WeightLoader::refuse_unread(int layers) const {
  std::set<int> further;  // layers
  for (const store::TensorView& tensor : checkpoint_.tensors())
    if (predicts_further(tensor.name)) further.insert(store::split_name(tensor.name).layer);
  std::vector<std::string_view> unread;
  for (const store::TensorView& tensor : checkpoint_.tensors()) {
    const int layer = store::split_name(tensor.name).layer;
    const bool is_further =
        predicts_further(tensor.name) || (layer >= layers && further.contains(layer));
    if (!read_.contains(tensor.name) && !is_further && !is_unneeded(tensor))
      unread.push_back(tensor.name);
  }
  if (unread.empty()) return {};
  constexpr size_t kNamed = 3;
  const size_t more = unread.size() - std::min(unread.size(), kNamed);
  const std::string first(unread.front());
  unread.resize(unread.size() - more);
  return fail(Code::kUnsupported,
              fmt::format("[model] {}: the file has tensors that are no part of such a model as "
                          "this build knows it: {}{}",
                          checkpoint_.path(), fmt::join(unread, ", "),
                          more > 0 ? fmt::format(" and {} more", more) : ""),
              first);
}

Result<std::vector<float>> WeightLoader::dequantized(const store::TensorView& tensor) {
  if (!tensor.has_blocks() || tensor.shape.back() % block_elements(tensor.type) != 0) {
    return fail(Code::kInvalidFile,
                fmt::format("[model] {}: tensor {} has a type that does not fit its size",
                            checkpoint_.path(), tensor.name),
                tensor.name);
  }
  std::vector<float> values(static_cast<size_t>(tensor.elements()));
  store::dequantize(tensor.type, tensor.bytes, values);
  advance(tensor);
  return values;
}

Result<std::vector<float>> WeightLoader::norm_values(const std::string& name, int size) {
  if (!norms_.weights) return std::vector<float>(static_cast<size_t>(size), 1.0f);
  // Files of Falcon-H1 leave out the end of the name.
  const std::string bare = name.substr(0, name.rfind('.'));
  ASSIGN_OR_RETURN(std::vector<float> values, vector(!has(name) && has(bare) ? bare : name, size));
  for (float& value : values) value += norms_.offset;
  return values;
}

Result<nn::NormWeight> WeightLoader::norm(const std::string& name, int size, float eps) {
  nn::NormWeight weight;
  weight.eps = eps;
  weight.centred = norms_.centred;
  ASSIGN_OR_RETURN(std::vector<float> values, norm_values(name, size));
  weight.values = std::move(values);
  const std::string bias_name = name.substr(0, name.rfind('.')) + ".bias";
  if (norms_.centred && has(bias_name)) {
    ASSIGN_OR_RETURN(std::vector<float> bias, vector(bias_name, size));
    weight.bias = std::move(bias);
  }
  return weight;
}

}  // namespace pippin::models
