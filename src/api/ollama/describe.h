// What lists and /api/show tell of a model. Thread: any.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "api/ollama/library.h"
#include "service/json.h"
#include "service/models/model.h"

namespace pippin::api::ollama {

/// A model that a list names: one that is served, or one made of it.
struct Listed {
  std::string name;  // with its tag
  const service::ModelInfo& model;
  const DerivedHead* made = nullptr;

  /// Returns when the model, or what is made of it, was last changed.
  int64_t modified_unix_s() const;
};

/// Writes "name", "model", "size" (`bytes`), "digest" and "details". The digest names the file, its
/// size and its time, not its bytes: to read them all would take seconds.
void write_identity(service::JsonWriter& json, const Listed& listed, uint64_t bytes);
void write_details(service::JsonWriter& json, const Listed& listed);

/// Returns the parameters as lines of a Modelfile without the word PARAMETER; empty: none are set.
std::string parameters_text(const service::ModelInfo& model, const DerivedModel* made);
/// Returns the Modelfile by which the model could be made.
std::string modelfile_text(const Listed& listed, const DerivedModel* made);

}  // namespace pippin::api::ollama
