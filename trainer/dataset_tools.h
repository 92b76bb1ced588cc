/* The commands around data sets: `roto-train dataset info|crop|import` and `roto-train revectorize`.  All write a folder of shots
 * (shot_folder.h). */

#ifndef ROTO_DATASET_TOOLS_H
#define ROTO_DATASET_TOOLS_H

int dataset_main(int argc, char **argv);        /* info and crop stand beside it */
int dataset_import_main(int argc, char **argv); /* dataset_import.c */
int revectorize_main(int argc, char **argv);    /* revectorize_shots.c */

#endif
