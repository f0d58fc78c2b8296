#include "service/models/model.h"

namespace pippin::service {

std::vector<std::string_view> ModelInfo::capabilities() const {
  std::vector<std::string_view> able = {"completion"};
  if (calls_tools()) able.push_back("tools");
  if (thinks()) able.push_back("thinking");
  if (supports_fim) able.push_back("insert");
  return able;
}

}  // namespace pippin::service
