#include "app/commands.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <list>

#include "app/bench.h"
#include "app/default_model.h"
#include "app/doctor.h"
#include "app/key.h"
#include "app/launch.h"
#include "app/loading.h"
#include "app/models_commands.h"
#include "app/pull.h"
#include "app/settings/profiles.h"
#include "app/settings/settings_file.h"
#include "base/log.h"

namespace pippin::app {
namespace {

constexpr const char* kOverview = R"(pippin: language models on your own machine.

  pippin serve [MODEL ...]        answer over HTTP, as OpenAI's API does
  pippin run MODEL [PROMPT]       answer here: one prompt, a pipe, or a chat
  pippin pull MODEL               fetch a model from Hugging Face or Ollama's registry
  pippin list | show | rm         the models on this machine
  pippin alias [NAME [MODEL]]     short names of models
  pippin ps | stop                the server that runs
  pippin bench [MODEL]            measure how fast a model computes here
  pippin doctor [MODEL]           check that company does not change an answer
  pippin launch CLIENT            start Claude Code, Codex or another agent with the server's model
  pippin profiles                 named sets of settings
  pippin key create NAME          make an API key
  pippin COMMAND --help           all flags of a command

MODEL is a GGUF file or a folder of safetensors, the name of one in
~/.local/share/pippin/models, hf:ORG/REPO[:QUANT], ollama:NAME[:TAG] or an alias; docs/models.md
tells more. What is not here yet is fetched. Without one, `serve` takes the default model, which
scripts/serve fetches.

  pippin serve ~/models/Qwen2.5-Coder-1.5B-Instruct-Q4_K_M.gguf --port 8080
  pippin run SmolLM2-135M-Instruct.Q4_1 "Name three rivers of Europe."
  git diff | pippin run Qwen2.5-Coder-1.5B-Instruct-Q4_K_M --system "Write a commit message."

Each flag has a PIPPIN_* variable; a flag wins over it. docs/settings.md lists them.
Exit codes: 0 done, 1 failed, 2 wrong usage, 3 doctor has found something.
)";

constexpr const char* kServeHelp =
    R"(pippin serve [MODEL ...] [flags]: answers over HTTP, as OpenAI's API does, until SIGINT or SIGTERM.

  MODEL                     A GGUF file, a folder of safetensors, or a name [the default model]

Of several models as many are loaded as --memory holds; the others when they are asked for.

)";

constexpr const char* kRunHelp =
    R"(pippin run [MODEL] [PROMPT] [flags]: answers in this terminal, without a server.

  MODEL                     A GGUF file, a folder of safetensors, or a name [the default model]
  PROMPT                    What to answer; without one, a pipe's text, else a chat

In a chat, Ctrl-C stops an answer, Ctrl-D ends the chat, and /help lists what else there is.

)";

constexpr const char* kPullHelp =
    R"(pippin pull MODEL [flags]: fetches a model; goes on where an earlier pull was ended.

  MODEL                     hf:ORG/REPO[@REVISION][:QUANT or FILE.gguf], ollama:NAME[:TAG], an alias

From Hugging Face it goes into the cache that its own tools use, from an Ollama registry into
Ollama's store. HF_TOKEN opens repositories that are gated or private.

)";

constexpr const char* kListHelp =
    R"(pippin list [flags]: the models on this machine: pippin's folder, the Hugging Face cache, Ollama.

)";

constexpr const char* kShowHelp =
    R"(pippin show MODEL [flags]: what a model is, and whether this build can serve it.

)";

constexpr const char* kRemoveHelp =
    R"(pippin rm MODEL [flags]: removes a model that is known by name; of an alias only the alias.

)";

constexpr const char* kAliasHelp =
    R"(pippin alias [NAME [MODEL]] [flags]: lists the short names of models, or sets one.

  pippin alias coder hf:ORG/REPO:Q4_K_M

)";

constexpr const char* kPsHelp =
    R"(pippin ps [flags]: the models of a running server and what they do.

)";

constexpr const char* kStopHelp =
    R"(pippin stop [MODEL] [flags]: ends a running server on this machine, as SIGTERM does.

  MODEL                     Only unload this model; running answers end first

)";

constexpr const char* kBenchHelp =
    R"(pippin bench [MODEL] [flags]: measures prompts and generation, in tokens per second.

  MODEL                     A GGUF file, a folder of safetensors, or a name [the default model]

)";

constexpr const char* kKeyHelp =
    R"(pippin key ACTION [flags]: API keys, of which a server asks for one as soon as there is any.

  create NAME               Make a key and print it; it is shown this once
  list                      Keys, their limits, and what they have used today
  revoke ID                 End a key, by its id or name; a running server knows at once

)";

constexpr const char* kDoctorHelp =
    R"(pippin doctor [MODEL] --divergence [flags]: checks what is promised, with a model of yours.

  MODEL                     A GGUF file, a folder of safetensors, or a name [the default model]

Exit codes: 0 all is well, 1 failed, 2 wrong usage, 3 answers depend on their company.

)";

constexpr const char* kLaunchHelp =
    R"(pippin launch [flags] CLIENT [ARGUMENTS]: starts a client with a running server as its model.

  CLIENT                    claude, codex, opencode, qwen, goose, aider or open-webui
  ARGUMENTS                 What the client gets beside its own, such as -p "What is here?"

PIPPIN_API_KEY is the key that it sends, where the server asks for one. docs/clients.md tells more.

)";

constexpr const char* kProfilesHelp =
    R"(pippin profiles: the profiles that --profile takes, and what each sets.

)";

struct Parsed;

/// One command: its settings, its name, and what it does.
struct Row {
  Command command;
  const char* name;
  const char* help;
  const char *first = nullptr, *second = nullptr;  // what its positional arguments are called
  Result<int> (*run)(const Settings& settings, const Parsed& parsed);
  bool takes_many = false;  // of the first
  bool takes_rest = false;  // what follows the positional arguments is not read here
};

/// A command, its flags as they were typed, and its positional arguments.
struct Parsed {
  const Row* row = nullptr;
  CLI::App* app = nullptr;
  std::vector<std::pair<const Setting*, std::string>> flags;
  std::string model;                  // the first one, whatever it is called
  std::vector<std::string> models;    // all of them, where there may be several
  std::optional<std::string> prompt;  // the second one
};

void add_flags(Parsed& parsed) {
  for (const Setting& setting : settings_table()) {
    if (!setting.is_for(parsed.row->command) || setting.flag.empty()) continue;
    const std::string flag(setting.flag);
    if (setting.is_switch()) {
      parsed.app->add_flag_function(flag + ",!--no-" + flag.substr(2),
                                    [&parsed, &setting](int64_t count) {
                                      parsed.flags.emplace_back(&setting, count > 0 ? "on" : "off");
                                    });
    } else {
      parsed.app
          ->add_option_function<std::string>(flag,
                                             [&parsed, &setting](const std::string& text) {
                                               parsed.flags.emplace_back(&setting, text);
                                             })
          ->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
    }
  }
}

void add_command(CLI::App& root, Parsed& parsed) {
  const Row& row = *parsed.row;
  parsed.app = root.add_subcommand(row.name);
  add_flags(parsed);
  if (row.takes_many) {
    parsed.app->add_option(row.first, parsed.models);
  } else if (row.first != nullptr) {
    parsed.app->add_option(row.first, parsed.model);
  }
  if (row.second != nullptr) parsed.app->add_option(row.second, parsed.prompt);
  if (row.takes_rest) parsed.app->prefix_command();
  const std::string text = std::string(row.help) + settings_help(parsed.row->command);
  struct Help final : CLI::FormatterBase {
    explicit Help(std::string what) : text(std::move(what)) {}
    std::string make_help(const CLI::App*, std::string, CLI::AppFormatMode) const override {
      return text;
    }
    std::string text;
  };
  parsed.app->formatter(std::make_shared<Help>(text));
}

bool takes_settings_file(Command command) {
  return std::ranges::any_of(settings_table(), [command](const Setting& setting) {
    return setting.flag == "--config" && setting.is_for(command);
  });
}

Result<Settings> settings_of(const Parsed& parsed) {
  // A flag's profile wins over the variable's, and both are only defaults for all else.
  ASSIGN_OR_RETURN(Settings defaults,
                   settings_from_environment(parsed.row->command, environment_variable));
  const auto typed = [&parsed](std::string_view flag, std::string otherwise) {
    for (const auto& [setting, text] : parsed.flags)
      if (setting->flag == flag) otherwise = text;
    return otherwise;
  };
  SettingsFile file;
  const std::string path =
      settings_file_path(typed("--config", defaults.config_path), environment_variable);
  if (takes_settings_file(parsed.row->command) && !path.empty()) {
    ASSIGN_OR_RETURN(file, read_settings_file(path));
  }
  Settings of_file;
  RETURN_IF_ERROR(apply_file_values(of_file, parsed.row->command, file.values));
  if (defaults.profile.empty()) defaults.profile = of_file.profile;
  const std::string profile = typed("--profile", defaults.profile);
  defaults = {};
  RETURN_IF_ERROR(apply_profile(defaults, profile));
  RETURN_IF_ERROR(apply_file_values(defaults, parsed.row->command, file.values));
  defaults.model_tables = std::move(file.models);
  ASSIGN_OR_RETURN(Settings settings,
                   settings_from_environment(parsed.row->command, environment_variable, defaults));
  for (const auto& [setting, text] : parsed.flags)
    RETURN_IF_ERROR(set_setting(settings, *setting, text, setting->flag));
  return settings;
}

int report(const Error& error, int code) {
  std::fprintf(stderr, "pippin: %s\n", error.message.c_str());
  return code;
}

int run_parsed(const Parsed& parsed) {
  const Result<Settings> settings = settings_of(parsed);
  if (!settings.ok()) return report(settings.error(), kExitUsage);
  log::configure(settings->log_level.c_str());
  const Result<int> code = parsed.row->run(*settings, parsed);
  if (code.ok()) return *code;
  const bool usage =
      code.error().code == Code::kInvalidArgument && code.error().param.starts_with("--");
  return report(code.error(), usage ? kExitUsage : kExitFailed);
}

}  // namespace

Result<int> bench(const Settings& settings, const std::string& named) {
  BenchOptions options;
  ASSIGN_OR_RETURN(const hub::LocalModel model, find_model(named, settings, environment_variable));
  options.model = model.path.string();
  ASSIGN_OR_RETURN(options.runner, runner_options(settings));
  options.prompts = settings.bench_prompts;
  options.generate = settings.bench_generate;
  options.depth = settings.bench_depth;
  options.rows = settings.bench_rows;
  options.repeats = settings.bench_repeats;
  options.json = settings.bench_json;
  RETURN_IF_ERROR(run_bench(options));
  return kExitOk;
}

Result<int> doctor(const Settings& settings, const std::string& named) {
  if (!settings.doctor_divergence) {
    return fail(Code::kInvalidArgument, "doctor has nothing to check: expected --divergence",
                "--divergence");
  }
  DivergenceRequest request;
  ASSIGN_OR_RETURN(const hub::LocalModel model, find_model(named, settings, environment_variable));
  request.model = model.path.string();
  ASSIGN_OR_RETURN(request.runner, runner_options(settings));
  request.tokens = settings.doctor_tokens;
  request.deterministic = settings.deterministic;
  const auto progress = [](const std::string& way) {
    std::fprintf(stderr, "running: %s\n", way.c_str());
  };
  ASSIGN_OR_RETURN(const DivergenceReport report, check_divergence(request, progress));
  const std::string text = settings.doctor_json ? report.to_json() + "\n" : report.to_text();
  std::fputs(text.c_str(), stdout);
  return report.same() ? kExitOk : kExitFound;
}

namespace {

const Row kRows[] = {
    {Command::kServe, "serve", kServeHelp, "MODEL", nullptr,
     [](const Settings& settings, const Parsed& parsed) { return serve(settings, parsed.models); },
     true},
    {Command::kRun, "run", kRunHelp, "MODEL", "PROMPT",
     [](const Settings& settings, const Parsed& parsed) {
       return run(settings, parsed.model, parsed.prompt);
     }},
    {Command::kPull, "pull", kPullHelp, "MODEL", nullptr,
     [](const Settings& settings, const Parsed& parsed) { return pull(settings, parsed.model); }},
    {Command::kModels, "list", kListHelp, nullptr, nullptr,
     [](const Settings& settings, const Parsed&) { return list(settings); }},
    {Command::kModels, "show", kShowHelp, "MODEL", nullptr,
     [](const Settings& settings, const Parsed& parsed) { return show(settings, parsed.model); }},
    {Command::kModels, "rm", kRemoveHelp, "MODEL", nullptr,
     [](const Settings& settings, const Parsed& parsed) { return remove(settings, parsed.model); }},
    {Command::kModels, "alias", kAliasHelp, "NAME", "MODEL",
     [](const Settings& settings, const Parsed& parsed) {
       return alias(settings, parsed.model, parsed.prompt);
     }},
    {Command::kServer, "ps", kPsHelp, nullptr, nullptr,
     [](const Settings& settings, const Parsed&) { return ps(settings); }},
    {Command::kServer, "stop", kStopHelp, "MODEL", nullptr,
     [](const Settings& settings, const Parsed& parsed) { return stop(settings, parsed.model); }},
    {Command::kLaunch, "launch", kLaunchHelp, "CLIENT", nullptr,
     [](const Settings& settings, const Parsed& parsed) {
       return launch(settings, parsed.model, parsed.app->remaining());
     },
     false, true},
    {Command::kProfiles, "profiles", kProfilesHelp, nullptr, nullptr,
     [](const Settings&, const Parsed&) -> Result<int> {
       std::fputs(profiles_text().c_str(), stdout);
       return kExitOk;
     }},
    {Command::kKey, "key", kKeyHelp, "ACTION", "NAME",
     [](const Settings& settings, const Parsed& parsed) {
       return key(settings, parsed.model, parsed.prompt);
     }},
    {Command::kBench, "bench", kBenchHelp, "MODEL", nullptr,
     [](const Settings& settings, const Parsed& parsed) { return bench(settings, parsed.model); }},
    {Command::kDoctor, "doctor", kDoctorHelp, "MODEL", nullptr,
     [](const Settings& settings, const Parsed& parsed) { return doctor(settings, parsed.model); }},
};

}  // namespace

int run_command_line(int argc, char** argv) {
  CLI::App root("", "pippin");
  root.set_version_flag("--version", "pippin " PIPPIN_VERSION);
  root.require_subcommand(0, 1);
  std::list<Parsed> commands;  // their places are kept: CLI11 writes into them
  for (const Row& row : kRows) add_command(root, commands.emplace_back(Parsed{&row}));
  struct Overview final : CLI::Formatter {
    std::string make_help(const CLI::App*, std::string, CLI::AppFormatMode) const override {
      return kOverview;
    }
  };
  root.formatter(std::make_shared<Overview>());
  try {
    root.parse(argc, argv);
  } catch (const CLI::Success& success) {  // --help, --version
    return root.exit(success);
  } catch (const CLI::ParseError& error) {
    std::fprintf(stderr, "pippin: %s\nTry `pippin --help`.\n", error.what());
    return kExitUsage;
  }
  for (const Parsed& parsed : commands)
    if (parsed.app->parsed()) return run_parsed(parsed);
  std::fputs(kOverview, argc > 1 ? stderr : stdout);
  return argc > 1 ? kExitUsage : kExitOk;
}

}  // namespace pippin::app
