/* The commands of `roto`, each in its own file: argv[0] is the command's name; the result is the exit status. */

#ifndef ROTO_COMMANDS_H
#define ROTO_COMMANDS_H

int run_main(int argc, char **argv);     /* roto run */
int shapes_main(int argc, char **argv);  /* roto shapes */
int matte_main(int argc, char **argv);   /* roto matte */
int merge_main(int argc, char **argv);   /* roto merge */
int export_main(int argc, char **argv);  /* roto export */
int review_main(int argc, char **argv);  /* roto review */
int smooth_main(int argc, char **argv);  /* roto smooth */
int model_main(int argc, char **argv);   /* roto model info|selftest */
int eval_main(int argc, char **argv);    /* roto eval */
int bench_main(int argc, char **argv);   /* roto bench */
int suggest_main(int argc, char **argv); /* roto suggest */
int plot_main(int argc, char **argv);    /* roto plot */

#endif
