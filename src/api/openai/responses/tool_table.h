// ToolTable: the tools of one request, as the API names them and as the model sees them. Plain
// values. Thread: any.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "api/shared/warning.h"

namespace pippin::api::openai::responses {

struct OfferedTool {
  bool custom = false;     // its input is plain text; the model writes it as {"input": "..."}
  std::string shown;       // the name that the model is given
  std::string name;        // the API's name
  std::string name_space;  // the API's namespace; empty if none
};

class ToolTable {
 public:
  void add(OfferedTool tool) { tools_.push_back(std::move(tool)); }

  /// Returns the tool that the model calls `shown`, or null.
  const OfferedTool* find_shown(std::string_view shown) const {
    return find([&](const OfferedTool& tool) { return tool.shown == shown; });
  }
  /// Returns the tool of this API's name, or null.
  const OfferedTool* find_named(std::string_view name, std::string_view name_space) const {
    return find([&](const OfferedTool& tool) {
      return tool.name == name && tool.name_space == name_space;
    });
  }
  bool empty() const { return tools_.empty(); }

 private:
  template <typename Fits>
  const OfferedTool* find(Fits fits) const {
    const auto found = std::ranges::find_if(tools_, fits);
    return found == tools_.end() ? nullptr : &*found;
  }

  std::vector<OfferedTool> tools_;
};

}  // namespace pippin::api::openai::responses
