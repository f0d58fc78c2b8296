#include "base/environment.h"

#include <gtest/gtest.h>

#include <map>
#include <string>

namespace pippin {
namespace {

Environment variables(std::map<std::string, std::string> values) {
  return [values = std::move(values)](const char* name) -> const char* {
    const auto found = values.find(name);
    return found == values.end() ? nullptr : found->second.c_str();
  };
}

TEST(HomeFolder, IsNeverTheCurrentFolder) {
  EXPECT_EQ(home_folder(variables({{"HOME", "/users/u"}})), "/users/u");
  for (const Environment& without : {variables({}), variables({{"HOME", ""}})}) {
    EXPECT_TRUE(home_folder(without).is_absolute());
    EXPECT_TRUE(folder_of_home(without, "XDG_STATE_HOME", ".local/state").is_absolute());
  }
}

TEST(HomeFolder, AVariableNamesAnother) {
  const Environment both = variables({{"HOME", "/users/u"}, {"XDG_STATE_HOME", "/state"}});
  EXPECT_EQ(folder_of_home(both, "XDG_STATE_HOME", ".local/state"), "/state");
  EXPECT_EQ(folder_of_home(both, "XDG_DATA_HOME", ".local/share"), "/users/u/.local/share");
}

}  // namespace
}  // namespace pippin
