// WeightLoader: checked tensors of a file, as the backend prepares them. Lives during a
// load. Thread: the device thread.
#pragma once

#include <functional>
#include <initializer_list>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "models/model.h"
#include "nn/backend/expert_weights.h"
#include "nn/ops/linear.h"
#include "nn/ops/norm.h"

namespace pippin::models {

/// How a model's norms are.
struct NormStyle {
  float offset = 0;      // added to their weights
  bool centred = false;  // layer norms, with a bias where the file has one
  bool weights = true;   // false: they have none
};

class WeightLoader {
 public:
  WeightLoader(const store::Checkpoint& checkpoint, nn::Backend& backend, LoadProgress progress,
               NormStyle norms = {});

  /// Reads "<name>.weight" of every name, each [rows, columns], stacked along N in the order given,
  /// with their "<name>.bias" where all have one.
  struct Part {
    std::string name;
    int rows;
    int first_row = 0;
    int tensor_rows = 0;  // > 0: `rows` of a tensor of so many
    int row_step = 1;     // of experts: every n-th row from the first on
  };
  Result<nn::LinearWeight> linear(const std::vector<Part>& parts, int columns,
                                  nn::Stacking stacking = nn::Stacking::kPlain);
  /// Reads a weight of each of `count` experts: of every name "<name>_exps.weight" [count, rows,
  /// columns], or "<name>.<expert>.weight" of each, stacked as linear() does, with their biases.
  Result<nn::ExpertWeight> experts(const std::vector<Part>& parts, int count, int columns,
                                   nn::Stacking stacking = nn::Stacking::kPlain);
  /// Reads a norm weight [size], with its bias. `name` ends with ".weight".
  Result<nn::NormWeight> norm(const std::string& name, int size, float eps);
  Result<std::vector<float>> norm_values(const std::string& name, int size);
  /// Reads a float vector [size].
  Result<std::vector<float>> vector(const std::string& name, int size);
  /// Reads a float tensor of any shape that has so many values: formats add dimensions of one, and
  /// divide norms into groups.
  Result<std::vector<float>> values(const std::string& name, int64_t count);
  /// Reads a float tensor of that shape.
  Result<std::vector<float>> floats(const std::string& name, const std::vector<int64_t>& shape);
  bool has(const std::string& name) const { return checkpoint_.tensor(name) != nullptr; }

  /// Counts a tensor as read that this model does not need, whether the file has it or not.
  void skip(const std::string& name) { read_.insert(name); }
  /// Refuses a file with tensors that nothing above has read: they belong to a model that computes
  /// something else. Towers for images and sound, layers behind the last one of `layers` that
  /// predict further tokens, heads of classifiers and biases of zeros may stay unread.
  /// Errors: kUnsupported naming the first.
  Result<void> refuse_unread(int layers) const;

 private:
  Result<const store::TensorView*> checked(const std::string& name,
                                           const std::vector<int64_t>& shape);
  Result<store::TensorView> matrix(const std::string& name, int rows, int columns);
  Result<nn::ExpertTensors> expert_tensors(const Part& part, int count, int columns);
  Result<std::vector<float>> expert_biases(const std::vector<Part>& parts, int count, int rows);
  Result<std::vector<float>> dequantized(const store::TensorView& tensor);
  void advance(const store::TensorView& tensor);

  const store::Checkpoint& checkpoint_;
  nn::Backend& backend_;
  LoadProgress progress_;
  NormStyle norms_;
  std::set<std::string, std::less<>> read_;  // names of tensors
  uint64_t done_ = 0, total_ = 0;
};

}  // namespace pippin::models
