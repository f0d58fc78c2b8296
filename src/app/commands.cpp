#include "app/commands.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <list>

#include "app/bench.h"
#include "app/convert.h"
#include "app/default_model.h"
#include "app/doctor.h"
#include "app/key.h"
#include "app/launch.h"
#include "app/loading.h"
#include "app/models_commands.h"
#include "app/pull.h"
#include "app/settings/profiles.h"
#include "app/settings/settings_file.h"
#include "app/show.h"
#include "base/log.h"

namespace pippin::app {
namespace {

constexpr const char* kOverview = R"(pippin: language models on your own machine.

  pippin serve [MODEL ...]        answer over HTTP: OpenAI's, Anthropic's and Ollama's APIs
  pippin run [MODEL] [PROMPT]     answer here: one prompt, a pipe, or a chat
  pippin pull MODEL               fetch a model from Hugging Face or Ollama's registry
  pippin convert MODEL --to FMT   write a model in another weight format: GGUF or MLX
  pippin list | show | rm         list, describe or remove the models on this machine
  pippin alias [NAME [MODEL]]     list or set short names of models
  pippin ps | stop                ask or stop the running server
  pippin bench [MODEL]            measure tokens per second on this machine
  pippin doctor [MODEL]           check that concurrent requests do not change answers
  pippin launch CLIENT            start Claude Code, Codex or another client of the server
  pippin profiles                 list the named sets of settings
  pippin key create NAME          make an API key
  pippin COMMAND --help           list all flags of a command

MODEL is a GGUF file, a folder of safetensors, the name of one in ~/.local/share/pippin/models,
hf:ORG/REPO[:QUANT], ollama:NAME[:TAG] or an alias; docs/models.md has the details. A model that
is not here yet is fetched. Without MODEL, the default model is used; scripts/serve fetches it.

  pippin serve ~/models/Qwen2.5-Coder-1.5B-Instruct-Q4_K_M.gguf --port 8080
  pippin run SmolLM2-135M-Instruct.Q4_1 "Name three rivers of Europe."
  git diff | pippin run Qwen2.5-Coder-1.5B-Instruct-Q4_K_M --system "Write a commit message."

Each flag has a PIPPIN_* variable, over which the flag wins. docs/settings.md lists them, and the
names of vLLM and llama.cpp that are understood, too (-m, -c, --max-model-len, ...).
Exit codes: 0 done, 1 failed, 2 wrong usage, 3 doctor found a difference.
)";

constexpr const char* kServeHelp =
    R"(pippin serve [MODEL ...] [flags]: answers over HTTP until SIGINT or SIGTERM.

  MODEL                     A GGUF file, a folder of safetensors, or a name [the default model]

Of several models, as many are loaded as --memory holds; the others when a request asks for them.

)";

constexpr const char* kRunHelp =
    R"(pippin run [MODEL] [PROMPT] [flags]: answers in this terminal, without a server.

  MODEL                     A GGUF file, a folder of safetensors, or a name [the default model]
  PROMPT                    The prompt; without one, the text of a pipe, else a chat

In a chat, Ctrl-C stops an answer, Ctrl-D ends the chat, and /help lists the commands.

)";

constexpr const char* kPullHelp =
    R"(pippin pull MODEL [flags]: fetches a model; resumes where an earlier pull ended.

  MODEL                     hf:ORG/REPO[@REVISION][:QUANT or FILE.gguf], ollama:NAME[:TAG], an alias

A model of Hugging Face goes into the cache of huggingface_hub, a model of an Ollama registry into
Ollama's store. HF_TOKEN opens gated and private repositories.

)";

constexpr const char* kConvertHelp =
    R"(pippin convert MODEL --to FORMAT [flags]: writes a model in another weight format.

  MODEL                     A GGUF file, for a GGUF file; a folder of safetensors, for an MLX folder

The same command goes on where an interrupted one ended. A manifest lies beside the result.

)";

constexpr const char* kListHelp =
    R"(pippin list [flags]: lists the models in pippin's folder, the Hugging Face cache and Ollama's store.

)";

constexpr const char* kShowHelp =
    R"(pippin show MODEL [flags]: describes a model, and says whether this build can serve it.

  MODEL                     A GGUF file, a folder of safetensors, or a name; it must be here

Parameters, context, KV cache, chat template, sampling, license, and the memory that contexts take
on this machine with the same flags of `pippin serve`. Only the headers of files are read.

)";

constexpr const char* kRemoveHelp =
    R"(pippin rm MODEL [flags]: removes a model by its name; of an alias, only the alias.

)";

constexpr const char* kAliasHelp =
    R"(pippin alias [NAME [MODEL]] [flags]: lists the short names of models, or sets one.

  pippin alias coder hf:ORG/REPO:Q4_K_M

)";

constexpr const char* kPsHelp =
    R"(pippin ps [flags]: lists the models of a running server: memory, requests, time to unload.

)";

constexpr const char* kStopHelp =
    R"(pippin stop [MODEL] [flags]: ends a running server on this machine, as SIGTERM does.

  MODEL                     Only unload this model; running answers end first

)";

constexpr const char* kBenchHelp =
    R"(pippin bench [MODEL] [flags]: measures prefill and generation in tokens per second.

  MODEL                     A GGUF file, a folder of safetensors, or a name [the default model]

)";

constexpr const char* kKeyHelp =
    R"(pippin key ACTION [flags]: manages API keys; once one exists, a server asks for a key.

  create NAME               Make a key and print it; it is shown only once
  list                      List keys, their limits and what they have used today
  revoke ID                 Revoke a key by its id or name; a running server refuses it at once

)";

constexpr const char* kDoctorHelp =
    R"(pippin doctor [MODEL] --divergence [flags]: checks that batching and caches do not change answers.

  MODEL                     A GGUF file, a folder of safetensors, or a name [the default model]

Exit codes: 0 all answers are the same, 1 failed, 2 wrong usage, 3 answers differ.

)";

constexpr const char* kLaunchHelp =
    R"(pippin launch [flags] CLIENT [ARGUMENTS]: starts a client of a running server.

  CLIENT                    claude, codex, opencode, qwen, goose, aider or open-webui
  ARGUMENTS                 Arguments for the client, such as -p "What is here?"

The client sends the key in PIPPIN_API_KEY, where the server asks for one; see docs/clients.md.

)";

constexpr const char* kProfilesHelp =
    R"(pippin profiles: lists the profiles that --profile takes, and what each sets.

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

/// A flag as it was typed.
struct Flag {
  const Setting* setting;
  std::string name, text;
};

/// A command, its flags in their order, and its positional arguments.
struct Parsed {
  const Row* row = nullptr;
  CLI::App* app = nullptr;
  std::vector<Flag> flags;
  std::vector<std::string> flag_models;  // of -m and --model
  std::string model;                     // the first one, whatever it is called
  std::vector<std::string> models;       // all of them, where there may be several
  std::optional<std::string> prompt;     // the second one
};

/// Whether a flag is of llama.cpp's kind: several letters behind one dash, as in -np.
bool is_wide_short(std::string_view flag) { return flag.size() > 2 && flag[1] != '-'; }

/// An option for each name, so that errors name what was typed. Each is noted as it is met: of
/// several names for one setting the last one typed counts.
void add_flag(Parsed& parsed, const Setting& setting, std::string_view flag) {
  const std::string name(flag);
  const std::string known = is_wide_short(flag) ? "-" + name : name;  // CLI11 knows no other
  if (setting.is_switch()) {
    parsed.app
        ->add_flag_function(known + ",!--no-" + known.substr(2),
                            [&parsed, &setting, name](int64_t count) {
                              parsed.flags.push_back({&setting, name, count > 0 ? "on" : "off"});
                            })
        ->trigger_on_parse();
    return;
  }
  parsed.app
      ->add_option_function<std::string>(known,
                                         [&parsed, &setting, name](const std::string& text) {
                                           parsed.flags.push_back({&setting, name, text});
                                         })
      ->trigger_on_parse();
}

bool loads_model(Command command) {
  return command == Command::kServe || command == Command::kRun || command == Command::kBench ||
         command == Command::kDoctor;
}

void add_flags(Parsed& parsed) {
  for (const Setting& setting : settings_table()) {
    if (!setting.is_for(parsed.row->command)) continue;
    for (const std::string_view flag : setting.flags()) add_flag(parsed, setting, flag);
  }
  if (!loads_model(parsed.row->command)) return;
  parsed.app
      ->add_option_function<std::string>(
          "-m,--model",
          [&parsed](const std::string& model) { parsed.flag_models.push_back(model); })
      ->trigger_on_parse();
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
    for (const Flag& last : parsed.flags)
      if (last.setting->flag == flag) otherwise = last.text;
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
  for (const Flag& flag : parsed.flags)
    RETURN_IF_ERROR(set_setting(settings, *flag.setting, flag.text, flag.name));
  return settings;
}

int report(const Error& error, int code) {
  std::fprintf(stderr, "pippin: %s\n", error.message.c_str());
  return code;
}

/// Puts models named by flags where the positional ones are. Errors: kInvalidArgument, two models
/// for a command that takes one.
Result<void> place_models(Parsed& parsed) {
  if (parsed.flag_models.empty()) return {};
  if (parsed.row->takes_many) {
    parsed.models.insert(parsed.models.begin(), parsed.flag_models.begin(),
                         parsed.flag_models.end());
    return {};
  }
  // What stands where the model would is the prompt, then.
  const bool shifts = parsed.row->second != nullptr && !parsed.prompt;
  if (!parsed.model.empty() && shifts) parsed.prompt = std::exchange(parsed.model, {});
  if (!parsed.model.empty() || parsed.flag_models.size() > 1)
    return fail(Code::kInvalidArgument, "--model: expected one model, got several", "--model");
  parsed.model = parsed.flag_models.front();
  return {};
}

int run_parsed(Parsed& parsed) {
  if (const Result<void> placed = place_models(parsed); !placed.ok())
    return report(placed.error(), kExitUsage);
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
  InvarianceRequest request;
  ASSIGN_OR_RETURN(const hub::LocalModel model, find_model(named, settings, environment_variable));
  request.model = model.path.string();
  ASSIGN_OR_RETURN(request.runner, runner_options(settings));
  request.tokens = settings.doctor_tokens;
  request.deterministic = settings.deterministic;
  const auto progress = [](const std::string& way) {
    std::fprintf(stderr, "running: %s\n", way.c_str());
  };
  ASSIGN_OR_RETURN(const InvarianceReport report, check_invariance(request, progress));
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
    {Command::kConvert, "convert", kConvertHelp, "MODEL", nullptr,
     [](const Settings& settings, const Parsed& parsed) {
       return convert(settings, parsed.model, PIPPIN_VERSION);
     }},
    {Command::kModels, "list", kListHelp, nullptr, nullptr,
     [](const Settings& settings, const Parsed&) { return list(settings); }},
    {Command::kShow, "show", kShowHelp, "MODEL", nullptr,
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

/// Returns the arguments in the order that CLI11 wants, the last first.
std::vector<std::string> words_of(int argc, char** argv) {
  std::vector<std::string> words(argv + 1, argv + argc);
  for (size_t i = 1; i < words.size() && words[i] != "--"; ++i) {
    const std::string_view flag = std::string_view(words[i]).substr(0, words[i].find('='));
    if (!flag.starts_with('-') || !is_wide_short(flag)) continue;
    const bool known = std::ranges::any_of(kRows, [&](const Row& row) {
      return row.name == words[0] && std::ranges::any_of(settings_table(), [&](const Setting& of) {
               return of.is_for(row.command) && std::ranges::count(of.flags(), flag) != 0;
             });
    });
    if (known) words[i].insert(0, "-");
  }
  std::ranges::reverse(words);
  return words;
}

/// Flags of other servers that have no counterpart here, and what there is.
constexpr std::pair<std::string_view, const char*> kForeign[] = {
    {"--api-key", "`pippin key create NAME` makes a key; a server with keys asks for one"},
    {"--gpu-memory-utilization", "--memory takes an amount, as in 8GiB"},
    {"--n-gpu-layers", "--device cuda runs the whole model on the GPU"},
    {"-ngl", "--device cuda runs the whole model on the GPU"},
};

/// Errors: kInvalidArgument, such a flag of a command that loads models.
Result<void> check_foreign(int argc, char** argv) {
  const bool loads = argc > 1 && std::ranges::any_of(kRows, [&](const Row& row) {
                       return loads_model(row.command) && std::string_view(argv[1]) == row.name;
                     });
  for (int i = 2; loads && i < argc; ++i) {
    const std::string_view word(argv[i]);
    for (const auto& [flag, hint] : kForeign)
      if (word.substr(0, word.find('=')) == flag)
        return fail(Code::kInvalidArgument, fmt::format("{}: no such flag; {}", flag, hint));
  }
  return {};
}

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
  if (const Result<void> known = check_foreign(argc, argv); !known.ok())
    return report(known.error(), kExitUsage);
  try {
    root.parse(words_of(argc, argv));
  } catch (const CLI::Success& success) {  // --help, --version
    return root.exit(success);
  } catch (const CLI::ParseError& error) {
    std::fprintf(stderr, "pippin: %s\nTry `pippin --help`.\n", error.what());
    return kExitUsage;
  }
  for (Parsed& parsed : commands)
    if (parsed.app->parsed()) return run_parsed(parsed);
  std::fputs(kOverview, argc > 1 ? stderr : stdout);
  return argc > 1 ? kExitUsage : kExitOk;
}

}  // namespace pippin::app
