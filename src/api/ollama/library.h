// Library: the models that this API offers: those that are served, and those made of them. Owner:
// the routes. Thread: any.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/context.h"
#include "api/ollama/derived_models.h"
#include "base/result.h"
#include "service/models/model.h"

namespace pippin::api::ollama {

/// What a request's model is called.
struct Wanted {
  std::string name;                  // as the client wrote it
  std::string base;                  // by the pool
  std::optional<DerivedModel> made;  // set if the name is of one made of `base`
};

/// The same, loaded. Borrows the request's parts.
struct Served {
  std::string_view name;
  const service::Model& model;
  const DerivedModel* made;  // null: the name is the model's own
};

class Library {
 public:
  explicit Library(const Context& context);

  const Context& context() const { return context_; }
  /// Returns the models that a caller makes and changes: a key's own, or, for who may manage
  /// models, those that everybody may use.
  DerivedModels made_by(const RequestContext* caller) const;
  /// Returns the made models that a caller may use, its own first.
  std::vector<DerivedHead> made_for(const RequestContext* caller) const;
  /// Where uploaded files lie; empty: nowhere.
  const std::string& blobs_folder() const { return blobs_folder_; }

  /// Finds what a name means, with or without the tag ":latest". Errors: kNotFound, in the words
  /// that Ollama's clients look for; also for what is another key's, or not for this one.
  Result<Wanted> find(std::string_view name, const RequestContext* caller) const;
  /// Keeps a made model, changed now. Errors: of DerivedModels::keep(); kInvalidArgument for the
  /// name of a model that is served.
  Result<void> keep(DerivedModel model, const RequestContext* caller) const;

 private:
  const Context& context_;
  const std::string made_folder_;
  const std::shared_ptr<DerivedIndex> index_ = std::make_shared<DerivedIndex>();
  const DerivedModels made_;  // everybody's
  const std::string blobs_folder_;
};

}  // namespace pippin::api::ollama
