// The parts that need no socket.
#include <gtest/gtest.h>

#include <memory>

#include "http/access.h"
#include "http/answer.h"
#include "http/head.h"
#include "http/server.h"
#include "http/target.h"

namespace pippin::http {
namespace {

TEST(Target, DecodesPathAndKeepsQuery) {
  const auto target = parse_target("/v1/models/org%2Fname%20%C3%A9?a=%20b#x");
  ASSERT_TRUE(target.ok());
  EXPECT_EQ(target->path, "/v1/models/org/name \xc3\xa9");
  EXPECT_EQ(target->query, "a=%20b");
}

TEST(Target, AcceptsAbsoluteFormAndStar) {
  const auto absolute = parse_target("http://example.org:8000/health?x");
  ASSERT_TRUE(absolute.ok());
  EXPECT_EQ(absolute->path, "/health");
  EXPECT_EQ(absolute->authority, "example.org:8000");
  EXPECT_EQ(parse_target("http://example.org")->path, "/");
  EXPECT_EQ(parse_target("*")->path, "*");
}

TEST(Target, RefusesBrokenOnes) {
  for (const char* text :
       {"", "v1/models", "://x/", "/%", "/%4", "/%4g", "/%zz", "/%ff", "/\xff", "/%c0%af",
        "/%ed%a0%80", "/%f4%90%80%80", "/%e2%82", "/a%00b", "/a%0d%0ab", "/%7f"})
    EXPECT_FALSE(parse_target(text).ok()) << text;
}

TEST(Utf8, KnowsTheBounds) {
  for (const char* text : {"", "a", "\xc2\x80", "\xe0\xa0\x80", "\xef\xbf\xbf", "\xf0\x90\x80\x80",
                           "\xf4\x8f\xbf\xbf"})
    EXPECT_TRUE(is_utf8(text)) << text;
  for (const char* text :
       {"\x80", "\xc1\xbf", "\xc2", "\xe0\x9f\xbf", "\xed\xa0\x80", "\xf0\x8f\xbf\xbf",
        "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xe2\x82", "\xe2\x28\xa1"})
    EXPECT_FALSE(is_utf8(text)) << text;
}

TEST(Access, HostsThatNameThisServer) {
  for (const char* host :
       {"localhost", "LocalHost:8000", "localhost.", "a.localhost", "127.0.0.1:1", "192.168.1.2",
        "[::1]:8000", "[fe80::1]", "host.docker.internal", "box.lan:80", "mine.example"})
    EXPECT_TRUE(host_allowed(host, "box.lan", {"Mine.example"})) << host;
  for (const char* host :
       {"", "evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "evillocalhost",
        "[::1", "localhost:80x", "[::1]x", "1.2.3", "127.0.0.1@evil.example"})
    EXPECT_FALSE(host_allowed(host, "box.lan", {"mine.example"})) << host;
  EXPECT_TRUE(host_allowed("evil.example", "", {"*"}));
}

TEST(Access, Origins) {
  const auto loopback = loopback_origins();
  for (const char* origin :
       {"http://localhost", "http://localhost:3000", "https://127.0.0.1:8443", "http://[::1]:1"})
    EXPECT_TRUE(origin_allowed(origin, loopback)) << origin;
  for (const char* origin :
       {"", "null", "http://localhost.evil.example", "http://localhost:3000.evil.example",
        "http://localhost:", "http://localhost:80/", "ftp://localhost", "http://evil.example"})
    EXPECT_FALSE(origin_allowed(origin, loopback)) << origin;
  EXPECT_TRUE(origin_allowed("https://app.example", {"https://app.example"}));
  EXPECT_FALSE(origin_allowed("https://app.example:1", {"https://app.example"}));
  EXPECT_TRUE(same_origin("http://box.lan:8000", "box.lan:8000"));
  EXPECT_FALSE(same_origin("http://evil.example", "box.lan:8000"));
}

TEST(Access, RequestIds) {
  EXPECT_TRUE(request_id_is_sane("req-1_A.b:c/d+e="));
  for (const std::string& id :
       {std::string(), std::string("a b"), std::string("a\nb"), std::string(129, 'a')})
    EXPECT_FALSE(request_id_is_sane(id));
  EXPECT_NE(make_request_id(), make_request_id());
  EXPECT_TRUE(request_id_is_sane(make_request_id()));
}

TEST(Head, NoHeaderInjection) {
  std::string out;
  append_head(out, {200, "text/plain", "", {{"x-model", "a\r\nset-cookie: b\nc"}}}, {});
  EXPECT_NE(out.find("x-model: a  set-cookie: b c\r\n"), std::string::npos) << out;
}

std::shared_ptr<Answer> make_answer(size_t stream_bytes_max = 100) {
  BodyLease lease(std::make_shared<BodyBudget>(1), "a");
  return std::make_shared<Answer>(api::Request{}, std::move(lease), stream_bytes_max, [] {});
}

TEST(Answer, WholeAndStream) {
  auto whole = make_answer();
  EXPECT_FALSE(whole->take().head.has_value());
  whole->respond({201, "", "x", {}});
  auto out = whole->take();
  EXPECT_EQ(out.head->status, 201);
  EXPECT_TRUE(out.finished && !out.streams);
  auto stream = make_answer();
  stream->start_stream({});
  EXPECT_TRUE(stream->write("ab"));
  EXPECT_TRUE(stream->write("c"));
  EXPECT_EQ(stream->queued_bytes(), 3u);
  out = stream->take();
  EXPECT_TRUE(out.streams && !out.finished);
  EXPECT_EQ(out.bytes, "abc");
  EXPECT_EQ(stream->queued_bytes(), 3u) << "taken by the connection, not yet by the socket";
  stream->taken_by_socket(3);
  EXPECT_EQ(stream->queued_bytes(), 0u);
  stream->finish();
  EXPECT_TRUE(stream->take().finished);
}

TEST(Answer, DrainedIsToldOnceTheQueueEmptiesAndToThoseWhoAskTooLate) {
  auto answer = make_answer();
  answer->start_stream({});
  int drained = 0;
  answer->on_drained([&] { ++drained; });
  answer->take();
  EXPECT_EQ(drained, 0) << "nothing was written";
  answer->write("abc");
  answer->take();
  answer->taken_by_socket(2);
  EXPECT_EQ(drained, 0);
  answer->taken_by_socket(1);
  EXPECT_EQ(drained, 1);
  answer->on_drained([&] { drained += 10; });
  EXPECT_EQ(drained, 1);
  answer->take();
  EXPECT_EQ(drained, 11);
  answer->take();
  EXPECT_EQ(drained, 11);
}

TEST(Answer, DisconnectIsToldAtMostOnce) {
  auto answer = make_answer();
  int gone = 0;
  answer->on_disconnect([&] { ++gone; });
  answer->start_stream({});
  EXPECT_TRUE(answer->client_gone());
  EXPECT_FALSE(answer->client_gone());
  EXPECT_EQ(gone, 1);
  EXPECT_FALSE(answer->write("x"));
  answer->on_disconnect([&] { gone += 10; });
  EXPECT_EQ(gone, 11) << "set after the leaving: told at once";
  auto done = make_answer();
  done->respond({});
  done->detach();
  done->on_disconnect([&] { gone += 100; });
  EXPECT_EQ(gone, 11) << "an answered exchange has no disconnect";
}

TEST(Answer, CallbackMayHoldTheLastHandle) {
  auto answer = make_answer();
  auto handle = std::make_shared<AnswerExchange>(answer);
  handle->on_disconnect([handle] {});
  handle.reset();
  answer->detach();  // would deadlock if callbacks died under the lock
  EXPECT_TRUE(answer->take().abandoned);
}

TEST(Answer, OverflowsAtItsBound) {
  auto answer = make_answer(10);
  answer->start_stream({});
  EXPECT_TRUE(answer->write(std::string(50, 'x'))) << "one write of any size fits an empty queue";
  EXPECT_FALSE(answer->write("y"));
  EXPECT_TRUE(answer->overflowed());
}

TEST(BodyBudget, IsGivenBack) {
  auto budget = std::make_shared<BodyBudget>(12);
  BodyLease a(budget, "a");
  EXPECT_TRUE(a.grow_to(4));
  EXPECT_TRUE(a.grow_to(8));
  {
    BodyLease b(budget, "b");
    EXPECT_FALSE(b.grow_to(5));
    EXPECT_TRUE(b.grow_to(4));
    BodyLease c = std::move(b);
  }
  a = BodyLease(budget, "a");
  BodyLease d(budget, "d");
  EXPECT_TRUE(d.grow_to(9));
}

TEST(BodyBudget, LeavesAQuarterToOthers) {
  auto budget = std::make_shared<BodyBudget>(12);
  BodyLease a(budget, "a");
  BodyLease too(budget, "a");
  EXPECT_TRUE(a.grow_to(5));
  EXPECT_FALSE(too.grow_to(5));
  EXPECT_TRUE(too.grow_to(4));
  EXPECT_TRUE(BodyLease(budget, "b").grow_to(3));
}

}  // namespace
}  // namespace pippin::http
