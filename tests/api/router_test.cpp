#include <gtest/gtest.h>

#include "api/exchange.h"

namespace pippin::api {
namespace {

// A router whose handlers are told apart by the pattern's place in the list.
struct Table {
  explicit Table(const std::vector<std::pair<std::string, std::string>>& routes) {
    for (size_t i = 0; i < routes.size(); ++i)
      router.add(routes[i].first, routes[i].second, {},
                 [this, i](const std::shared_ptr<Exchange>&) { called = static_cast<int>(i); });
  }
  int find(std::string_view method, std::string_view path) {
    match = router.find(method, path);
    called = -1;
    if (match.handler != nullptr) (*match.handler)(nullptr);
    return called;
  }
  Router router;
  Router::Match match;
  int called = -1;
};

TEST(Router, FindsByMethodAndPath) {
  Table table({{"GET", "/v1/models"}, {"POST", "/v1/models"}, {"GET", "/health"}, {"GET", "/"}});
  EXPECT_EQ(table.find("GET", "/v1/models"), 0);
  EXPECT_EQ(table.find("POST", "/v1/models"), 1);
  EXPECT_EQ(table.find("GET", "/"), 3);
  EXPECT_EQ(table.find("GET", "/v1"), -1);
  EXPECT_TRUE(table.match.allow.empty());
  EXPECT_EQ(table.find("GET", "/v1/models/x"), -1);
  EXPECT_EQ(table.find("get", "/health"), -1) << "methods are case-sensitive";
}

TEST(Router, SaysWhichMethodsAreAllowed) {
  Table table({{"GET", "/a/{x}"}, {"DELETE", "/a/{x}"}, {"GET", "/a/{x...}"}});
  EXPECT_EQ(table.find("PUT", "/a/1"), -1);
  EXPECT_EQ(table.match.allow, (std::vector<std::string>{"GET", "DELETE"}));
}

TEST(Router, CapturesOneSegmentOrTheRest) {
  Table table({{"GET", "/m/{id}"}, {"GET", "/f/{dir}/{path...}"}});
  EXPECT_EQ(table.find("GET", "/m/smol lm"), 0);
  EXPECT_EQ(table.match.captures, (std::vector<std::string>{"smol lm"}));
  EXPECT_EQ(table.find("GET", "/m/org/name"), -1);
  EXPECT_EQ(table.find("GET", "/m"), -1);
  EXPECT_EQ(table.find("GET", "/f/a/b/c"), 1);
  EXPECT_EQ(table.match.captures, (std::vector<std::string>{"a", "b/c"}));
  EXPECT_EQ(table.find("GET", "/f/a"), -1) << "the rest is at least one segment";
}

TEST(Router, PrefersTheMoreExactPatternInAnyOrderOfAdding) {
  Table table(
      {{"GET", "/m/{rest...}"}, {"GET", "/m/{id}"}, {"GET", "/m/list"}, {"GET", "/m/{id}/files"}});
  EXPECT_EQ(table.find("GET", "/m/list"), 2);
  EXPECT_EQ(table.find("GET", "/m/other"), 1);
  EXPECT_EQ(table.find("GET", "/m/other/files"), 3);
  EXPECT_EQ(table.find("GET", "/m/other/more"), 0);
}

TEST(Router, IgnoresEmptySegments) {
  Table table(std::vector<std::pair<std::string, std::string>>{{"GET", "/v1/models"}});
  EXPECT_EQ(table.find("GET", "//v1///models/"), 0);
}

TEST(RouterDeath, RefusesTheSameRouteTwice) {
  Router router;
  router.add("GET", "/a", {}, nullptr);
  EXPECT_DEATH(router.add("GET", "/a", {}, nullptr), "twice");
  EXPECT_DEATH(router.add("GET", "/{a...}/b", {}, nullptr), "last segment");
}

}  // namespace
}  // namespace pippin::api
