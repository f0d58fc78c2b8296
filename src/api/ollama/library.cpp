#include "api/ollama/library.h"

#include <utility>

#include "api/ollama/names.h"
#include "base/unix_time.h"

namespace pippin::api::ollama {
namespace {

std::string below(const std::string& folder, const char* name) {
  return folder.empty() ? std::string() : folder + "/" + name;
}

}  // namespace

Library::Library(const Context& context)
    : context_(context),
      made_(below(context.data_folder, "made")),
      blobs_folder_(below(context.data_folder, "blobs")) {}

Result<Wanted> Library::find(std::string_view name) const {
  std::optional<MadeModel> made = made_.find(name);
  const std::string base(made ? std::string_view(made->from) : name);
  // Served models have no tag of their own, as a rule; those of Ollama's store have one.
  for (const std::string& known : {base, std::string(short_name(base)), full_name(base)}) {
    if (context_.models.knows(known)) return Wanted{std::string(name), known, std::move(made)};
  }
  return fail(
      Code::kNotFound,
      made ? "model '" + std::string(name) + "' is made of '" + base + "', which is not served here"
           : "model '" + std::string(name) + "' not found",
      "model");
}

Result<void> Library::keep(MadeModel model) const {
  const std::string_view bare = short_name(model.name);
  if (context_.models.knows(model.name) || context_.models.knows(bare)) {
    return fail(Code::kInvalidArgument,
                "model '" + model.name + "' is served from a file; choose another name", "model");
  }
  model.modified_unix_s = unix_now_s();
  return made_.keep(model);
}

}  // namespace pippin::api::ollama
